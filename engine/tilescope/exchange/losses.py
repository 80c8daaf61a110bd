"""What formats of drawings have no room for, in one set of words."""

from __future__ import annotations

from tilescope.domain.annotation import Annotation
from tilescope.exchange.findings import Findings


def note_losses(annotation: Annotation, findings: Findings) -> None:
    """Note what only a project and GeoJSON keep of an object: kind, lock, parent and plane.

    A drawing by hand is what every program takes an object for, so that kind is not lost.
    """
    if annotation.kind != "annotation":
        findings.leave_out(f"that an object is a {annotation.kind}", annotation.id)
    if annotation.locked:
        findings.leave_out("the lock of an object", annotation.id)
    if annotation.parent_id is not None:
        findings.leave_out("the parent of an object", annotation.id)
    if annotation.z or annotation.t:
        findings.leave_out("the plane and time point of an object", annotation.id)
