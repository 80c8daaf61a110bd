"""What the JSON files of a Zarr say of a group or an array; every field may be hostile.

Specifications: https://zarr-specs.readthedocs.io, core v2 and v3, and the sharding codec 1.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilescope.io.zarr_codecs import CodecChain, chain_of_v2, chain_of_v3
from tilescope.io.zarr_files import Span, ZarrFiles, fetch_one

#: Consolidated metadata of a plate can be long; parsed, they take twenty times as much memory.
_LARGEST_JSON_BYTES = 16 << 20

#: An index has 16 bytes per chunk and is kept in memory.
_MOST_CHUNKS_PER_SHARD = 1 << 18

#: Longer sides overflow the arithmetic of somebody further on.
LONGEST_SIDE = 1 << 48

_V3_TYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64"}
)

_BYTE_ORDERS = {"little": "<", "big": ">"}

_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Node:
    """One group or array of a hierarchy.

    Attributes
    ----------
    version
        2 or 3.
    is_array
        False for a group.
    document
        ``zarr.json``, ``.zarray`` or ``.zgroup``.
    attributes
        What users wrote.
    """

    version: int
    is_array: bool
    document: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """How chunks lie in a shard: ``grid`` counts them, the index is at either end."""

    grid: tuple[int, ...]
    index_at_end: bool
    index_has_checksum: bool

    @property
    def index_bytes(self) -> int:
        """Length of the index as it is stored."""
        return 16 * math.prod(self.grid) + (4 if self.index_has_checksum else 0)


@dataclass(frozen=True, slots=True)
class ChunkLayout:
    """Everything needed to read an array's chunks.

    Attributes
    ----------
    shape, chunks
        Per axis; a chunk is what is decoded as a whole, also within a shard.
    dtype, fill
        Stored sample type, and the value of chunks that are left out.
    chain
        Codecs of a chunk.
    key_prefix, separator
        Chunk ``(1, 2)`` is called ``prefix + "1" + separator + "2"``.
    shard
        None when every chunk is a file.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: np.generic
    chain: CodecChain
    key_prefix: str
    separator: str
    shard: ShardLayout | None = None


def read_node(files: ZarrFiles, prefix: str, version: int | None = None) -> Node | None:
    """Return the node whose metadata lie below ``prefix``, None when there is none.

    Parameters
    ----------
    prefix
        Empty for the root, else ending in ``/``.
    version
        The version of the group above, which the node shares.

    Raises
    ------
    ValueError
        When the metadata are no JSON objects.
    """
    if version in {None, 3}:
        document = _json(files, f"{prefix}zarr.json")
        if document is not None:
            kind = document.get("node_type")
            return Node(3, kind == "array", document, _object(document.get("attributes", {})))
    if version in {None, 2}:
        array = _json(files, f"{prefix}.zarray")
        group = _json(files, f"{prefix}.zgroup") if array is None else None
        attributes = _json(files, f"{prefix}.zattrs")
        # some writers leave out the group file, which says nothing but the version
        if array is not None or group is not None or attributes is not None:
            return Node(2, array is not None, array or group or {}, attributes or {})
    return None


def chunk_layout(node: Node) -> ChunkLayout | None:
    """Return the layout of an array, None when it has a feature that is not known here.

    Unknown are also metadata that make no sense: zarr-python says better what is wrong.
    """
    try:
        layout = _layout_v3(node.document) if node.version == 3 else _layout_v2(node.document)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None
    return layout if layout is not None and _makes_sense(layout) else None


def _json(files: ZarrFiles, key: str) -> Mapping[str, Any] | None:
    data = fetch_one(files, Span(key, _LARGEST_JSON_BYTES))
    return None if data is None else _object(json.loads(data))


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        msg = f"metadata are {type(value).__name__} instead of an object"
        raise ValueError(msg)  # noqa: TRY004 - the file is wrong, not the caller
    return value


def _layout_v2(document: Mapping[str, Any]) -> ChunkLayout | None:
    chain = chain_of_v2(document["compressor"])
    if chain is None or document["filters"] or document["order"] != "C":
        return None
    if not isinstance(document["dtype"], str):
        return None
    dtype = np.dtype(document["dtype"])
    return ChunkLayout(
        _lengths(document["shape"]),
        _lengths(document["chunks"]),
        dtype,
        _fill(document["fill_value"], dtype),
        chain,
        "",
        _separator(document.get("dimension_separator", ".")),
    )


def _layout_v3(document: Mapping[str, Any]) -> ChunkLayout | None:
    grid = document["chunk_grid"]
    if document["data_type"] not in _V3_TYPES or document.get("storage_transformers"):
        return None
    if grid["name"] != "regular":
        return None
    outer = _lengths(grid["configuration"]["chunk_shape"])
    codecs = document["codecs"]
    inner, shard = outer, None
    if codecs[0]["name"] == "sharding_indexed" and len(codecs) == 1:
        settings = codecs[0]["configuration"]
        inner, codecs = _lengths(settings["chunk_shape"]), settings["codecs"]
        shard = _shard(outer, inner, settings)
    chain = chain_of_v3(codecs[1:])
    if codecs[0]["name"] != "bytes" or chain is None:
        return None
    dtype = np.dtype(document["data_type"])
    if dtype.itemsize > 1:
        # made from text, the machine's own order is called so; what reads buffers relies on it
        dtype = np.dtype(_BYTE_ORDERS[codecs[0]["configuration"]["endian"]] + dtype.str[1:])
    prefix, separator = _key_encoding(document["chunk_key_encoding"])
    fill = _fill(document["fill_value"], dtype)
    shape = _lengths(document["shape"])
    return ChunkLayout(shape, inner, dtype, fill, chain, prefix, separator, shard)


def _shard(
    outer: tuple[int, ...], inner: tuple[int, ...], settings: Mapping[str, Any]
) -> ShardLayout:
    index_chain = chain_of_v3(settings["index_codecs"][1:])
    first = settings["index_codecs"][0]
    plain = first["name"] == "bytes" and first["configuration"]["endian"] == "little"
    if index_chain is None or index_chain.compressor is not None or not plain:
        msg = "an index that is encoded in an unusual way"
        raise ValueError(msg)
    if any(whole % part for whole, part in zip(outer, inner, strict=True)):
        msg = "a shard that is no whole number of chunks"
        raise ValueError(msg)
    grid = tuple(whole // part for whole, part in zip(outer, inner, strict=True))
    at_end = {"end": True, "start": False}[settings.get("index_location", "end")]
    return ShardLayout(grid, at_end, index_chain.has_checksum)


def _key_encoding(encoding: Mapping[str, Any]) -> tuple[str, str]:
    settings = encoding.get("configuration", {})
    if encoding["name"] == "default":
        separator = _separator(settings.get("separator", "/"))
        return f"c{separator}", separator
    if encoding["name"] == "v2":
        return "", _separator(settings.get("separator", "."))
    msg = "unknown names of chunks"
    raise ValueError(msg)


def _separator(value: object) -> str:
    if value in {"/", "."}:
        return str(value)
    msg = f"chunk names separated by {str(value)[:20]!r}"
    raise ValueError(msg)


def _lengths(values: object) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(
        type(n) is int and 0 < n <= LONGEST_SIDE for n in values
    ):
        msg = "lengths that are no positive whole numbers"
        raise ValueError(msg)
    return tuple(values)


def _fill(value: object, dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - any kind of sample
    """Return the fill value as a sample of the array."""
    if value is None:
        return dtype.type(0)
    if isinstance(value, str):
        if dtype.kind != "f":
            msg = "text as a fill value"
            raise ValueError(msg)
        if value.startswith("0x"):
            raw = int(value, 16).to_bytes(dtype.itemsize, "little")
            return np.frombuffer(raw, dtype.newbyteorder("<"))[0]
        return dtype.type(_FLOATS[value])
    if not isinstance(value, int | float) or (dtype.kind != "f" and type(value) is float):
        msg = "a fill value of another type"
        raise ValueError(msg)
    return dtype.type(value)


def _makes_sense(layout: ChunkLayout) -> bool:
    if not len(layout.shape) == len(layout.chunks) > 0 or layout.dtype.kind not in "buif":
        return False
    return layout.shard is None or math.prod(layout.shard.grid) <= _MOST_CHUNKS_PER_SHARD
