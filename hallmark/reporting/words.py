"""Text for readers: descriptions of fates and reasons, and the formats of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hallmark.contracts.reasons import split_reasons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROUNDING = 1e-12  # smaller numbers are rounding errors of zero

FATES = {
    "kept": "used unchanged",
    "flagged": "used, but doubtful",
    "relabelled": "used under another label",
    "removed": "left out of training",
    "quarantined": "unusable, set aside",
}

REASONS = {
    "empty_file": "the file is empty",
    "not_an_image": "not an image, despite its name",
    "truncated": "the file ends too early",
    "corrupt": "the image data are damaged",
    "stray_file": "not an image file",
    "unreadable_file": "the file cannot be read",
    "outside_source": "leads outside the source; ingest.follow_outside: true reads it",
    "multi_frame": "more than one frame; the first is used",
    "split_leak": "a copy is in another split",
    "missing_value": "a value is missing in the manifest",
    "group_capped": "its group has more images than the cap allows",
    "noisy": "noisy",
    "decompression_bomb": "declares too many pixels",
    "unsupported_format": "a format that is not supported",
    "too_small": "too small",
    "too_large": "too large",
    "extreme_aspect": "extremely long or narrow",
    "blank": "blank",
    "too_dark": "too dark",
    "too_bright": "too bright",
    "blurry": "blurry",
    "low_contrast": "low contrast",
    "exact_duplicate": "a copy of another image",
    "near_duplicate": "a near copy of another image",
    "conflicting_duplicate": "a copy has another label",
    "outlier": "unlike the rest of its class",
    "label_issue": "the label looks wrong",
    "unlabelled": "no label",
    "class_too_small": "its class has too few images",
    "excluded_by_review": "excluded by a person",
    "relabelled_by_review": "relabelled by a person",
}


STALE = {
    "path_gone": "the file is no longer in the source",
    "content_changed": "the content has changed",
}


def reasons_in_words(joined: str) -> str:
    """``;``-joined reasons as a phrase.

    >>> reasons_in_words("too_dark;exact_duplicate")
    'too dark, a copy of another image'
    """
    return ", ".join(REASONS[reason] for reason in split_reasons(joined))


def fixed(value: float, digits: int, *, sign: bool = False) -> str:
    """A number with ``digits`` decimals; zero has no sign.

    >>> fixed(-1.11e-17, 3), fixed(-0.25, 2), fixed(0.25, 2, sign=True), fixed(0.0, 1, sign=True)
    ('0.000', '-0.25', '+0.25', '0.0')
    """
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else f"{'+' if sign and value > 0 else ''}{text}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage.

    >>> percent(0.97345), percent(None), percent(-1.11e-17)
    ('97.3 %', '–', '0.0 %')
    """
    return "–" if value is None else f"{fixed(100 * value, digits)} %"


def number(value: float | int | None, digits: int = 3) -> str:
    """A number, or a dash for None.

    >>> number(1234567), number(0.12345), number(None), number(-1.11e-17)
    ('1,234,567', '0.123', '–', '0.000')
    """
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else fixed(value, digits)


def signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign.

    >>> signed(0.0312), signed(-0.5, 1), signed(None), signed(-1e-9)
    ('+0.0312', '-0.5', '–', '0.0000')
    """
    return "–" if value is None else fixed(value, digits, sign=True)


def span(edges: Sequence[float | None], digits: int = 4) -> str:
    """The interval of a difference.

    >>> span([-0.01, 0.02], 2), span([None, None])
    ('-0.01 to +0.02', '–')
    """
    low, high = edges
    return "–" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def pairs(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON values as (name, text) pairs.

    >>> pairs({"noise_scale": {"first": 0.51234}, "gain_ci95": [0.1, 0.2]})
    [('noise scale first', '0.5123'), ('gain, 95 % interval', '0.1 to 0.2')]
    """
    flat = []
    for name, inner in value.items():
        title = f"{prefix} {name}".strip().replace("_", " ")
        if isinstance(inner, dict):
            flat.extend(pairs(inner, title))
        elif title.endswith("ci95"):
            flat.append((f"{title.removesuffix('ci95').strip()}, 95 % interval", " to ".join(map(plain, inner))))
        else:
            flat.append((title, plain(inner)))
    return flat


def plain(value: Any) -> str:
    """A JSON value as text; an object in a list is named by its first value.

    >>> plain([{"label": "8", "made": 123, "passed": True}, {"label": "9", "made": 126, "passed": True}])
    '8 (made 123, passed yes), 9 (made 126, passed yes)'
    >>> plain([-1.11e-17, 1e-6])
    '0, 1e-06'
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_entry(item) if isinstance(item, dict) and len(item) > 1 else plain(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{str(name).replace('_', ' ')}: {plain(inner)}" for name, inner in value.items())
    if isinstance(value, float):
        return "0" if abs(value) < ROUNDING else f"{value:.4g}"
    return "–" if value is None else str(value)


def _entry(entry: dict[str, Any]) -> str:
    first, *rest = entry
    details = ", ".join(f"{name.replace('_', ' ')} {plain(entry[name])}" for name in rest)
    return f"{plain(entry[first])} ({details})"
