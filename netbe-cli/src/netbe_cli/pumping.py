# SPDX-License-Identifier: BSD-2-Clause
"""What ``bridge`` and ``switch`` share: open the ports, run the pump, watch it, sum it up."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import typer

import netbe
from netbe.names import Name
from netbe.pump import Pump, PumpStats
from netbe_cli.failures import FAILED
from netbe_cli.output import drops, emit_json, line, si, table
from netbe_cli.rates import Rates, watch
from netbe_cli.signals import ending


@contextlib.contextmanager
def opened(names: Sequence[str]) -> Iterator[list[netbe.Backend]]:
    """Open them all or none; close them at the end."""
    with contextlib.ExitStack() as stack:
        backends: list[netbe.Backend] = []
        for place, name in enumerate(names):
            try:
                backends.append(stack.enter_context(netbe.open(name)))
            except netbe.BackendBusy as error:
                if _device(name) in map(_device, names[:place]):
                    raise netbe.BackendBusy(
                        f"{name} is given twice, and can be opened once",
                        hint="give another name for one of them",
                    ) from error
                raise
        yield backends


def _device(name: str) -> tuple[str, str | None]:
    """What a name stands for, as far as can be seen from it: options do not make another device of it."""
    parsed = Name.parse(name)
    return parsed.device, parsed.options.get("netns")


def run(
    pump: Pump,
    *,
    duration: float | None,
    interval: float | None,
    json: bool,
    more: Callable[[PumpStats], dict[str, object]] = lambda _: {},
) -> None:
    """Start the pump, show rates until it is to end, then say what went through it.

    `more` gives further members of the JSON document, after the pump has ended. A pump that ends by itself,
    or gave a port up, makes the command fail, after its summary.
    """
    with ending(duration) as end:
        with pump:
            if not json and interval is None:
                line(f"{repr(pump).strip('<>')}; Ctrl-C ends it")
            end.restart()
            rates = Rates(lambda: pump.stats().ports)
            watch(rates, end, lambda: pump.running, interval=interval, live=not json)
        stats = pump.stats()
    if json:
        errors = {name: str(error) for name, error in pump.errors.items()}
        emit_json({**stats.as_dict(), "errors": errors, **more(stats)})
    elif interval is None:
        _summary(stats)
    failures = {name: str(error) for name, error in pump.errors.items()}
    if not failures and pump.error is not None:  # else it is one of them
        failures[""] = str(pump.error)
    for name, text in failures.items():
        typer.echo(f"netbe: {text if text.startswith(name) else f'{name}: {text}'}", err=True)
    if failures:
        raise typer.Exit(FAILED)


def _summary(stats: PumpStats) -> None:
    line(f"ran {stats.seconds:.1f} s")
    table(
        ("port", "received", "bytes", "sent", "bytes", "mean rate", "dropped"),
        (
            (
                name,
                f"{one.rx_frames:,}",
                f"{one.rx_bytes:,}",
                f"{one.tx_frames:,}",
                f"{one.tx_bytes:,}",
                si(8 * (one.rx_bytes + one.tx_bytes) / max(stats.seconds, 1e-9), "bit/s"),
                drops(one),
            )
            for name, one in stats.ports.items()
        ),
    )
