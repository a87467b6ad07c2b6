"""The report's figures as SVG text, drawn by matplotlib, which is loaded only here."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError

INK, FAINT = "#3b4252", "#c9d0dc"
COLORS = ("#2f6fde", "#e07a3f", "#2f9e77", "#8a5fd0")
_POINTS = 2000  # of a curve: more than a screen has columns
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, sharp, and in the page's own font
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#eceff4",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def loss_curve(lines: Sequence[Mapping[str, Any]]) -> str:
    """Plots the training loss in nats a token over steps, with a running mean on top."""
    steps = [line["step"] for line in lines]
    losses = [line["loss"] for line in lines]
    stride = max(1, len(steps) // _POINTS)

    def draw(axes: Any) -> None:
        axes.plot(steps[::stride], losses[::stride], color=FAINT, linewidth=0.8)
        smooth = running_mean(losses, share=0.02)
        axes.plot(steps[::stride], smooth[::stride], color=COLORS[0], linewidth=1.8)
        axes.set(xlabel="step", ylabel="loss, nats a token")
        axes.annotate(
            f"{smooth[-1]:.3f}",
            (steps[-1], smooth[-1]),
            xytext=(-4, 10),
            textcoords="offset points",
            ha="right",
            color=COLORS[0],
        )

    return _svg(draw)


def validation_curves(lines: Sequence[Mapping[str, Any]]) -> str:
    """Plots bits per byte of the validation split over steps, a line for each Task; "" without."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for key, value in line.items():
            task, _, metric = key.removeprefix("validation/").rpartition("/")
            is_curve = key.startswith("validation/") and metric == "bits_per_byte"
            if is_curve and isinstance(value, int | float) and math.isfinite(value):
                curves.setdefault(task or "all", []).append((line["step"], value))
    if not curves:
        return ""

    def draw(axes: Any) -> None:
        for number, (task, points) in enumerate(curves.items()):
            style = {"color": COLORS[number % len(COLORS)], "marker": "o", "markersize": 3}
            axes.plot(*zip(*points, strict=True), label=f"{task}: {points[-1][1]:.3f}", **style)
        axes.set(xlabel="step", ylabel="bits per byte")
        axes.legend()

    return _svg(draw)


def running_mean(values: Sequence[float], *, share: float) -> list[float]:
    """Returns an exponential mean over about `share` of the values, corrected for its start."""
    keep = 1 - 1 / max(1.0, share * len(values))
    total = weight = 0.0
    smooth = []
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        smooth.append(total / weight if weight else value)
    return smooth


def pass_curve(curve: Mapping[str, Mapping[str, Any]]) -> str:
    """Plots pass@k in percent over k (log scale), with a band for the 95 % intervals."""
    ks = [int(k) for k in curve]
    columns = ("mean", "low", "high")
    means, lows, highs = ([100 * row[name] for row in curve.values()] for name in columns)

    def draw(axes: Any) -> None:
        axes.fill_between(ks, lows, highs, color=COLORS[0], alpha=0.15, linewidth=0)
        axes.plot(ks, means, color=COLORS[0], marker="o", markersize=4, linewidth=1.8)
        axes.set_xscale("log")
        axes.set_xticks(ks, [str(k) for k in ks], minor=False)
        axes.minorticks_off()
        axes.set(xlabel="k, samples a problem", ylabel="passed, %", ylim=(-3, 103))

    return _svg(draw)


def selection_curves(curves: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Plots the share of problems solved by a chosen sample over the number to choose from.

    A line for each way to choose, with a band for the 95 % intervals of the first.
    """

    def draw(axes: Any) -> None:
        sizes = sorted({int(size) for curve in curves.values() for size in curve})
        for number, (name, curve) in enumerate(curves.items()):
            xs = sorted(map(int, curve))
            rows = [curve[str(x)] for x in xs]
            columns = [[100 * row[column] for row in rows] for column in ("mean", "low", "high")]
            color = COLORS[number] if number < len(COLORS) else FAINT
            axes.plot(xs, columns[0], color=color, marker="o", markersize=4, label=name)
            if not number:
                axes.fill_between(xs, *columns[1:], color=color, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.minorticks_off()
        axes.set(xlabel="samples to choose from", ylabel="solved, %", ylim=(-3, 103))
        axes.legend()

    return _svg(draw)


def pass_rates(groups: Mapping[str, Mapping[str, Mapping[str, Any]]], *, label: str) -> str:
    """Plots pass@k in percent by group: a line for each k, bars for the 95 % intervals."""
    names = list(groups)
    ks = sorted({k for row in groups.values() for k in row}, key=int)

    def draw(axes: Any) -> None:
        for k, color in zip(ks, COLORS, strict=False):
            xs = [i for i, name in enumerate(names) if k in groups[name]]
            rows = [groups[names[i]][k] for i in xs]
            means = [100 * row["mean"] for row in rows]
            below = [100 * max(0.0, row["mean"] - row["low"]) for row in rows]  # less rounding
            above = [100 * max(0.0, row["high"] - row["mean"]) for row in rows]
            axes.errorbar(
                xs,
                means,
                yerr=[below, above],
                color=color,
                marker="o",
                markersize=5,
                linewidth=1.8,
                elinewidth=1,
                capsize=3,
                label=f"pass@{k}",
            )
        axes.set(xlabel=label, ylabel="passed, %", ylim=(-3, 103), xlim=(-0.3, len(names) - 0.7))
        axes.set_xticks(range(len(names)), names)
        axes.legend()

    return _svg(draw)


def decay_curves(methods: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Plots pass@1 in percent over the number of blocks: a line and intervals for each method."""

    def draw(axes: Any) -> None:
        for number, (name, rows) in enumerate(methods.items()):
            xs = sorted(map(int, rows))
            points = [rows[str(x)] for x in xs]
            means = [100 * point["mean"] for point in points]
            below = [100 * max(0.0, point["mean"] - point["low"]) for point in points]
            above = [100 * max(0.0, point["high"] - point["mean"]) for point in points]
            style = {"color": COLORS[number % len(COLORS)], "marker": "o", "markersize": 4}
            label = name.replace("$", r"\$")  # no formula
            label = f" {label}" if label.startswith("_") else label  # which would be hidden
            axes.errorbar(xs, means, yerr=[below, above], capsize=3, label=label, **style)
        axes.set(xlabel="number of blocks in the chain", ylabel="pass@1, %", ylim=(-3, 103))
        axes.legend()

    return _svg(draw)


def _svg(draw: Any) -> str:
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError(
            "matplotlib is not installed; the report's figures need it; "
            "install with: pip install 'codex-jax[report]'"
        ) from None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
