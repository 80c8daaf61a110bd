"""A graph in two parts, the first over patches: the same numbers, less memory."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from tests.engine.inference.nets import FAMILIES, Net, activation, convolved, halved

from tilescope.errors import Cancelled, GraphMismatch, InferenceFailed
from tilescope.inference.cuts import find_cuts
from tilescope.inference.graph import load_graph
from tilescope.inference.reach import Reach
from tilescope.inference.receptive import analyse
from tilescope.inference.schedule import Budget, Schedule, schedule_of, search_schedule, strips
from tilescope.inference.session import OnnxSession, Session
from tilescope.inference.staged import (
    StagedSession,
    plan_stages,
    staged_session,
)
from tilescope.runtime.cancel import CancellationToken
from tilescope.testing.toy import blur_graph, toy_model


def opened(weights: bytes) -> Session:
    return OnnxSession(weights, threads=1)


def narrow(net: Net) -> None:
    """Wide layers at full resolution, then few channels: what patches are good for."""
    net.conv(16)
    activation(net)
    net.conv(16)
    halved(net)
    convolved(net, 2)
    halved(net)
    net.conv(8)
    net.conv(1)


def squeezed_and_excited(net: Net) -> None:
    """A head that looks at the whole image behind a stem that does not."""
    narrow(net)
    source = net.conv(4)
    net.add("GlobalAveragePool", [source])
    net.conv(4, 1)
    net.add("Sigmoid", [net.last])
    net.add("Mul", [source, net.last])
    net.add("InstanceNormalization", [net.last, net.kernel(4), net.kernel(4)])


def with_skip(net: Net) -> None:
    """A U-Net, its rows and columns taken from shapes."""
    net.conv(8)
    skip = net.conv(2)
    halved(net)
    net.conv(8)
    halved(net)
    net.conv(2)
    net.up_by_sizes(skip, mode="linear")
    net.concat(skip, net.last, 4)
    net.add("InstanceNormalization", [net.conv(2), net.kernel(2), net.kernel(2)])


NETS = {build.__name__: build for build in (narrow, squeezed_and_excited, with_skip)}


def at_every_cut(model: bytes, size: tuple[int, int]) -> list[Schedule]:
    """Return schedules of small patches for every cut of a graph."""
    graph = load_graph(model)
    analysis = analyse(graph, {}, any_size=True)
    least = search_schedule(graph, analysis, size, Budget(0))
    found = []
    for cut in find_cuts(graph, analysis.values):
        reaches = [r for name in cut.live for r in analysis.values[name].reaches]
        period = int(np.lcm.reduce([r.period for r in reaches] + [analysis.period]))
        values = {name: getattr(least, name) for name in Schedule.__slots__}
        values.update(place=cut.place, live=cut.live, period=period, patches=(0, 0))
        values.update(core_px=(2 * period, size[1] // 2 // period * period))
        found.append(Schedule(**values))
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETS)
def test_every_cut_gives_the_numbers_of_the_whole_graph(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, *name.encode()])
    net = Net(rng)
    NETS[name](net)
    model = net.build()
    height, width = (16 * int(n) for n in rng.integers(2, 5, 2))
    image = rng.standard_normal((1, 1, height, width)).astype(np.float32)
    token = CancellationToken()
    with opened(model) as session:
        whole = session.run({"image": image}, token)
    schedules = at_every_cut(model, (height, width))
    assert len(schedules) > 3
    for schedule in schedules:
        with StagedSession(model, schedule, opened) as staged:
            outputs = staged.run({"image": image}, token)
        assert outputs.keys() == whole.keys()
        for key in whole:
            np.testing.assert_allclose(outputs[key], whole[key], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("family", FAMILIES)
def test_schedules_of_random_networks_give_the_numbers_of_the_whole_graph(
    family: str, seed: int
) -> None:
    rng = np.random.default_rng([seed, *family.encode()])
    net = Net(rng)
    FAMILIES[family](net)
    model = net.build()
    size = 64, 96
    whole_bytes = plan_stages(model, size, 2**60).whole_peak_bytes
    schedule = plan_stages(model, size, whole_bytes * 2 // 3)
    shape = (1, *size, 3) if net.input_shape[-1] == 3 else (1, 1, *size)
    image = rng.standard_normal(shape).astype(np.float32)
    token = CancellationToken()
    with opened(model) as session, staged_session(model, schedule, opened) as staged:
        whole, outputs = (s.run({"image": image}, token) for s in (session, staged))
    for key in whole:
        np.testing.assert_allclose(outputs[key], whole[key], atol=1e-5, rtol=1e-5)


def wide_net(rng: np.random.Generator) -> bytes:
    net = Net(rng)
    narrow(net)
    return net.build()


def test_what_fits_is_run_as_it_is(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    schedule = plan_stages(model, (256, 256), 2**40)
    assert not schedule.is_cut
    assert schedule.extra_work == 0
    with staged_session(model, schedule, opened) as session:
        assert isinstance(session, OnnxSession)


def test_a_tighter_budget_costs_more_work_and_is_kept(rng: np.random.Generator) -> None:
    model, size = wide_net(rng), (1024, 1024)
    whole = plan_stages(model, size, 2**40)
    work = [0.0]
    for share in (0.6, 0.4, 0.2):
        budget = int(whole.peak_bytes * share)
        schedule = plan_stages(model, size, budget)
        assert schedule.is_cut
        assert schedule.peak_bytes <= budget
        assert schedule.extra_work >= work[-1]
        work.append(schedule.extra_work)
    assert work[-1] > 0


def test_a_budget_that_nothing_fits_gives_the_least_there_is(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    least = plan_stages(model, (256, 256), 0)
    assert 0 < least.peak_bytes < least.whole_peak_bytes
    assert plan_stages(model, (256, 256), least.peak_bytes).peak_bytes == least.peak_bytes


def test_schedules_of_more_work_than_is_allowed_are_left_out(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    least = plan_stages(model, (256, 256), 0)
    allowed = least.extra_work / 2
    cheaper = plan_stages(model, (256, 256), 0, most_extra_work=allowed)
    assert cheaper.is_cut
    assert cheaper.extra_work <= allowed < least.extra_work
    assert least.peak_bytes < cheaper.peak_bytes < least.whole_peak_bytes


def test_a_schedule_survives_json(rng: np.random.Generator) -> None:
    schedule = plan_stages(wide_net(rng), (256, 256), 0)
    assert schedule_of(json.loads(json.dumps(asdict(schedule)))) == schedule


def test_the_bytes_of_one_convolution_are_those_of_its_tensors(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.conv(8)
    schedule = plan_stages(net.build(), (128, 256), 2**40)
    assert schedule.peak_bytes == 4 * 128 * 256 * (1 + 8)
    assert schedule.multiply_adds == 128 * 256 * 9 * 8


def test_skips_across_the_cut_are_live(rng: np.random.Generator) -> None:
    net = Net(rng)
    first = net.conv(4)
    net.add("MaxPool", [first], kernel_shape=[2, 2], strides=[2, 2])
    pooled = net.last
    net.up_by_sizes(first, mode="nearest")
    net.add("Add", [first, net.last])
    graph = load_graph(net.build())
    cuts = find_cuts(graph, analyse(graph, {}, any_size=True).values)
    assert (first, pooled) in {cut.live for cut in cuts}
    assert (pooled,) not in {cut.live for cut in cuts}


def test_no_cut_lies_behind_what_sees_the_whole_image(rng: np.random.Generator) -> None:
    net = Net(rng)
    squeezed_and_excited(net)
    graph = load_graph(net.build())
    places = {node.op: place for place, node in enumerate(graph.nodes)}
    cuts = find_cuts(graph, analyse(graph, {}, any_size=True).values)
    assert max(cut.place for cut in cuts) == places["GlobalAveragePool"]


def test_a_graph_of_one_size_is_cut_too(rng: np.random.Generator) -> None:
    net = Net(rng)
    net.input_shape = [1, 1, 64, 64]
    narrow(net)
    sizes = net.constant([1, 1, 64, 64], np.int64)
    net.add("Resize", [net.last, "", "", sizes], mode="linear")
    model = net.build()
    whole = plan_stages(model, (64, 64), 2**40)
    schedule = plan_stages(model, (64, 64), whole.peak_bytes // 2)
    assert schedule.is_cut
    image = rng.random((1, 1, 64, 64), np.float32)
    with opened(model) as session, staged_session(model, schedule, opened) as staged:
        whole_out, out = (s.run({"image": image}, CancellationToken()) for s in (session, staged))
    np.testing.assert_allclose(out[net.last], whole_out[net.last], atol=1e-5)


def test_other_sizes_and_batches_than_planned_are_run(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    schedule = plan_stages(model, (256, 256), plan_stages(model, (256, 256), 0).peak_bytes)
    image = rng.random((3, 1, 96, 160), np.float32)
    with opened(model) as session, staged_session(model, schedule, opened) as staged:
        whole, out = (s.run({"image": image}, CancellationToken()) for s in (session, staged))
    for key in whole:
        np.testing.assert_allclose(out[key], whole[key], atol=1e-5)


def test_sides_that_do_not_suit_the_patches_are_refused(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    schedule = plan_stages(model, (256, 256), 0)
    with (
        staged_session(model, schedule, opened) as staged,
        pytest.raises(InferenceFailed, match="multiples"),
    ):
        staged.run({"image": rng.random((1, 1, 255, 256), np.float32)}, CancellationToken())


def test_a_staged_run_stops_when_cancelled(rng: np.random.Generator) -> None:
    model = wide_net(rng)
    token = CancellationToken()
    token.cancel()
    with (
        staged_session(model, plan_stages(model, (256, 256), 0), opened) as staged,
        pytest.raises(Cancelled),
    ):
        staged.run({"image": np.zeros((1, 1, 256, 256), np.float32)}, token)


def test_a_staged_session_is_checked_like_any_other(tmp_path) -> None:
    spec = toy_model(tmp_path).spec
    plan = at_every_cut(blur_graph(), (64, 64))[-1]
    with staged_session(blur_graph(), plan, opened) as staged:
        staged.check(spec)
        assert staged.input_names == ("image",)
        assert staged.output_names == ("blurred",)
        assert staged.provider == "cpu"
        with pytest.raises(GraphMismatch, match="manifest"):
            staged.check(replace(spec, inputs=spec.outputs))


def test_a_schedule_of_another_graph_is_refused(rng: np.random.Generator) -> None:
    plan = plan_stages(wide_net(rng), (256, 256), 0)
    with pytest.raises(GraphMismatch, match="another graph"):
        StagedSession(blur_graph(), plan, opened)


def test_a_graph_with_branches_is_not_cut(rng: np.random.Generator) -> None:
    net = Net(rng)
    source = net.conv(2)
    out = helper.make_tensor_value_info("same", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", [source], ["same"])], "b", [], [out])
    net.add("If", [net.constant(True, bool)], then_branch=branch, else_branch=branch)
    net.nodes.append(helper.make_node("Relu", [source], ["end"]))
    model = net.build(net.last, "end")
    assert not plan_stages(model, (64, 64), 0).is_cut


def test_strips_cover_an_axis_and_are_cut_at_its_ends() -> None:
    reach = Reach().through(2, -3, 4, 0)
    found = strips([reach], 64, 16, 2)
    assert [strip.core for strip in found] == [(0, 16), (16, 32), (32, 48), (48, 64)]
    assert found[0].outer[0] == 0
    assert found[-1].outer[1] == 64
    for strip in found[1:-1]:
        assert strip.outer[0] <= strip.core[0] - 3
        assert strip.outer[1] >= strip.core[1] - 2 + 4 + 1
