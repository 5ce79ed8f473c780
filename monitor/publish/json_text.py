"""JSON that is safe on a terminal, in a log line and inside a page, whatever text the network gave."""

import json
import math
from collections.abc import Mapping
from typing import Any

# json.dumps with ensure_ascii writes all other control characters and all of Unicode as \\uXXXX
_ESCAPES = str.maketrans({"\x7f": "\\u007f", "<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def to_json_text(value: Any) -> str:
    r"""Write one line of ASCII JSON (RFC 8259); numbers that JSON has no word for become null.

    The escaped characters stand only inside JSON strings, so ``\u003c`` means the same as ``<``.
    """
    return json.dumps(_finite(value), ensure_ascii=True, allow_nan=False).translate(_ESCAPES)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
