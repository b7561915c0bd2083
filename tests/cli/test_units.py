import pytest

from tinyfarm.cli.units import format_size, parse_energy_uj, parse_latency_us, parse_share, parse_size
from tinyfarm.client import InvalidInputError

GOOD = {
    (parse_size, "64KiB"): 65_536,
    (parse_size, "256kB"): 256_000,
    (parse_size, "1MiB"): 1_048_576,
    (parse_size, "0.5 KiB"): 512,
    (parse_size, "65536"): 65_536,
    (parse_size, "12B"): 12,
    (parse_latency_us, "100ms"): 100_000.0,
    (parse_latency_us, "1.5s"): 1_500_000.0,
    (parse_latency_us, "250us"): 250.0,
    (parse_energy_uj, "5mJ"): 5000.0,
    (parse_energy_uj, "800uJ"): 800.0,
    (parse_energy_uj, "3 µJ"): 3.0,
    (parse_share, "0.9"): 0.9,
    (parse_share, "90%"): 0.9,
}
BAD = (
    (parse_size, "-1KiB"),
    (parse_size, "0"),
    (parse_size, "1.5"),
    (parse_size, "64 kilobytes"),
    (parse_size, ""),
    (parse_size, "1e6"),
    (parse_size, "KiB"),
    (parse_size, "1" + 400 * "0"),
    (parse_size, "9223372036854775808"),
    (parse_latency_us, "1" + 400 * "0" + "s"),
    (parse_latency_us, "100"),
    (parse_latency_us, "-3ms"),
    (parse_latency_us, "0ms"),
    (parse_latency_us, "nan ms"),
    (parse_energy_uj, "5"),
    (parse_energy_uj, "-5mJ"),
    (parse_share, "1.1"),
    (parse_share, "-0.1"),
    (parse_share, "nan"),
    (parse_share, "high"),
)


@pytest.mark.parametrize(("parse", "text"), GOOD, ids=[text for _, text in GOOD])
def test_quantities_are_read(parse, text):
    assert parse(text) == pytest.approx(GOOD[parse, text])


@pytest.mark.parametrize(("parse", "text"), BAD, ids=[text for _, text in BAD])
def test_other_quantities_are_refused_with_what_is_allowed(parse, text):
    with pytest.raises(InvalidInputError) as caught:
        parse(text)
    assert caught.value.value == text and caught.value.allowed


def test_sizes_are_printed_in_bytes_and_kib():
    assert format_size(1000) == "1,000 B"
    assert format_size(65_536) == "65,536 B (64.0 KiB)"
