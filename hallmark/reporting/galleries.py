"""The images that the page shows, and their captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.reasons import REASONS, has_reason, having, split_reasons
from hallmark.reporting import pictures, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hallmark.images.shards import Reader


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A data URI, or None and a ``placeholder`` text; ``small``: enlarge it with visible pixels."""

    picture: str | None
    small: bool
    placeholder: str
    title: str
    note: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The ``tiles`` shown, out of ``total`` images."""

    total: int
    tiles: tuple[Tile, ...]


def of_fate(files: pd.DataFrame, fate: str, reader: Reader, *, most: int, side: int) -> Gallery:
    """Images of one fate: round-robin over the reasons, most doubtful first."""
    chosen = files[files["fate"] == fate]
    ranks = {reason: rank for rank, reason in enumerate(REASONS)}
    first = [next(iter(split_reasons(text)), "") for text in chosen["reasons"]]
    ranked = chosen.assign(order=[ranks.get(reason, len(REASONS)) for reason in first])
    ranked = ranked.sort_values(
        ["order", "label_quality", "outlier_score", "path"], ascending=[True, True, False, True], kind="stable"
    )
    turn = ranked.groupby("order").cumcount()
    selected = ranked.assign(turn=turn).sort_values(["turn", "order"], kind="stable").head(most)
    selected = selected.sort_values(["order", "turn"], kind="stable")
    return Gallery(total=len(chosen), tiles=tuple(_tile(row, reader, side) for row in selected.to_dict("records")))


def clusters(files: pd.DataFrame, reader: Reader, *, most: int, side: int) -> list[list[Tile]]:
    """The largest duplicate clusters, conflicting labels first, at most six images of each."""
    several = files[files["cluster_size"].fillna(1) > 1]
    several = several.assign(conflict=having(several["reasons"], ["conflicting_duplicate"]))
    ranked = (
        several.groupby("cluster")
        .agg(conflict=("conflict", "any"), size=("path", "size"))
        .reset_index()
        .sort_values(["conflict", "size", "cluster"], ascending=[False, False, True])
    )
    out = []
    for name in ranked["cluster"].head(most):
        members = several[several["cluster"] == name].sort_values(["representative", "path"], ascending=[False, True])
        out.append([_tile(row, reader, side) for row in members.head(6).to_dict("records")])
    return out


def mistakes(
    files: pd.DataFrame, predictions: pd.DataFrame, columns: dict[str, str], reader: Reader, *, most: int, side: int
) -> Gallery:
    """Wrong test predictions, most confident first. ``columns`` maps a class to its probability column."""
    wrong = predictions[predictions["label"] != predictions["predicted"]].copy()
    if wrong.empty:
        return Gallery(total=0, tiles=())
    wrong["sure"] = [row[columns[row["predicted"]]] for row in wrong.to_dict("records")]
    selected = wrong.sort_values(["sure", "path"], ascending=[False, True]).head(most)
    by_path = files.set_index("path")
    tiles = []
    for row in selected.to_dict("records"):
        file = by_path.loc[row["path"]]
        picture = pictures.stored(reader, int(file["shard"]), int(file["row"]), side)
        tiles.append(
            Tile(
                **_picture_fields(picture),
                placeholder="",
                title=f"{row['label']} classified as {row['predicted']}",
                note=f"{words.percent(row['sure'], 0)} sure"
                + (f"; flagged: {words.reasons_in_words(file['reasons'])}" if file["reasons"] else ""),
                path=row["path"],
            )
        )
    return Gallery(total=len(wrong), tiles=tuple(tiles))


def _tile(row: Mapping[Any, Any], reader: Reader, side: int) -> Tile:
    shard = int(row["shard"]) if row["shard"] == row["shard"] else -1
    picture = pictures.stored(reader, shard, int(row["row"]), side) if shard >= 0 else None
    title = row["label"] or "no label"
    used = row["used_label"]
    if isinstance(used, str) and used != row["label"]:
        title = f"{title} → {used}"
    note = words.reasons_in_words(row["reasons"])
    suggested = row["suggested_label"]
    if has_reason(row["reasons"], "label_issue") and isinstance(suggested, str) and suggested:
        note += f" (more like {suggested})"
    if row["split"]:
        note = f"{note or 'kept'} · {row['split']}"
    return Tile(
        **_picture_fields(picture),
        placeholder=words.reasons_in_words(row["reasons"]) or "no picture",
        title=title,
        note=note,
        path=row["path"],
    )


def _picture_fields(picture: pictures.Picture | None) -> dict[str, Any]:
    return {"picture": picture.uri if picture else None, "small": picture is not None and picture.small}
