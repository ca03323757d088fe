"""What the terminal shows of a run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flows.console import Console

if TYPE_CHECKING:
    import pytest


def test_what_the_stages_tell_is_lines_within_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("hallmark.learning.epoch")
    with Console().live():
        logger.warning("epoch %d: %s", 3, "Divergence: [the] loss rose")
        logger.info("training goes on in epoch 4 of 9")
        logger.debug("nothing for a person")
        logging.getLogger("mlflow").info("nor this")
    logger.info("after it")
    assert capsys.readouterr().out == "  epoch 3: Divergence: [the] loss rose\n  training goes on in epoch 4 of 9\n"
    assert not [each for each in logging.getLogger("hallmark").handlers if type(each).__name__ == "_Lines"]
