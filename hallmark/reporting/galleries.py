"""Which images the page shows, and what stands under each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hallmark.contracts.names import REASONS
from hallmark.reporting import pictures, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from hallmark.images.shards import Reader


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture: a data URI, or None and a reason in its place; ``small`` where its pixels are to be seen."""

    picture: str | None
    small: bool
    placeholder: str
    title: str
    note: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """``total`` images there are, of which ``tiles`` are shown."""

    total: int
    tiles: tuple[Tile, ...]


def of_fate(files: pd.DataFrame, fate: str, reader: Reader, *, most: int, side: int) -> Gallery:
    """Images of one fate, the reasons taking turns so that each is seen, the most doubtful first."""
    chosen = files[files["fate"] == fate]
    places = {reason: place for place, reason in enumerate(REASONS)}
    ranked = chosen.assign(order=[places.get(joined.split(";")[0], len(REASONS)) for joined in chosen["reasons"]])
    ranked = ranked.sort_values(
        ["order", "label_quality", "outlier_score", "path"], ascending=[True, True, False, True], kind="stable"
    )
    turn = ranked.groupby("order").cumcount()
    shown = ranked.assign(turn=turn).sort_values(["turn", "order"], kind="stable").head(most)
    shown = shown.sort_values(["order", "turn"], kind="stable")
    return Gallery(total=len(chosen), tiles=tuple(_tile(row, reader, side) for row in shown.to_dict("records")))


def clusters(files: pd.DataFrame, reader: Reader, *, most: int, side: int) -> list[list[Tile]]:
    """The largest duplicate clusters, conflicting labels first, at most six images of each."""
    several = files[files["cluster_size"].fillna(1) > 1]
    several = several.assign(conflict=several["reasons"].str.contains("conflicting_duplicate"))
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
    """Wrong test predictions, the surest first. ``columns`` maps a class to its probability column."""
    wrong = predictions[predictions["label"] != predictions["predicted"]].copy()
    if wrong.empty:
        return Gallery(total=0, tiles=())
    wrong["sure"] = [row[columns[row["predicted"]]] for row in wrong.to_dict("records")]
    shown = wrong.sort_values(["sure", "path"], ascending=[False, True]).head(most)
    known = files.set_index("path")
    tiles = []
    for row in shown.to_dict("records"):
        file = known.loc[row["path"]]
        picture = pictures.stored(reader, int(file["shard"]), int(file["row"]), side)
        tiles.append(
            Tile(
                **_shown(picture),
                placeholder="",
                title=f"{row['label']} taken for {row['predicted']}",
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
    if "label_issue" in row["reasons"] and isinstance(suggested, str) and suggested:
        note += f" (more like {suggested})"
    if row["split"]:
        note = f"{note or 'kept'} · {row['split']}"
    return Tile(
        **_shown(picture),
        placeholder=words.reasons_in_words(row["reasons"]) or "no picture",
        title=title,
        note=note,
        path=row["path"],
    )


def _shown(picture: pictures.Picture | None) -> dict[str, Any]:
    return {"picture": picture.uri if picture else None, "small": picture is not None and picture.small}
