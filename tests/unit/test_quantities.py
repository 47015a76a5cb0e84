"""Lengths of time and amounts of memory are read as people write them, and nothing else is."""

from __future__ import annotations

import pytest

from statspout import ConfigError
from statspout.quantities import amount, seconds


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("14d", 1_209_600), ("2w", 1_209_600)]
)
def test_a_length_of_time_is_a_number_and_a_letter(text: str, value: int) -> None:
    assert seconds(text, "mongodb.ttl") == value


@pytest.mark.parametrize(
    ("text", "value"), [("65536", 65536), ("1B", 1), ("512MiB", 2**29), ("2GB", 2 * 10**9), ("1 KiB", 1024)]
)
def test_an_amount_is_bytes_or_has_a_unit(text: str, value: int) -> None:
    assert amount(text, "spool.max-bytes") == value


@pytest.mark.parametrize("text", ["", "14", "0d", "-1d", "1.5d", "d", "1y", "1 d", "٣d", "9999999999s"])
def test_anything_else_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--mongodb.ttl: .* is wrong: .* such as 14d, is right$"):
        seconds(text, "mongodb.ttl")


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5GiB", "1iB", "1gib", "GiB", "1PB", "٣"])
def test_anything_else_is_no_amount(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--spool.max-bytes: .* is wrong: .* such as 512MiB, is right$"):
        amount(text, "spool.max-bytes")
