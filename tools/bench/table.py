# SPDX-License-Identifier: GPL-2.0-only
"""From samples to rows: minimum and median, stub subtracted, ratios. docs/bench.md says how to read them."""
from __future__ import annotations

import statistics

NAMES = {
    "tcp4": "TCP over IPv4, established",
    "reply4": "replies of backends, TCP over IPv4",
    "tcp6": "TCP over IPv6, established",
    "udp4": "UDP over IPv4, established",
    "new4": "new flow, the ring of embryos full",
    "promotion": "promotion: the ACK of a handshake",
    "foreign4": "foreign traffic, passed",
}
MIB = 1 << 20


def flows_text(flows: int) -> str:
    if flows >= 1 << 20:
        return f"{flows >> 20}M"
    return f"{flows >> 10}k" if flows >= 1 << 10 else str(flows)


def row(what: str, flows: str, unit: str, samples: list[float], **more: object) -> dict:
    """`samples` are of rounds; smaller is better but for rates."""
    return {"what": what, "flows": flows, "unit": unit, "min": min(samples),
            "median": statistics.median(samples), "max": max(samples), **more}


def net_row(what: str, flows: int, samples: list[int], stub: list[int]) -> dict:
    return {"what": what, "flows": flows_text(flows), "unit": "ns",
            "min": min(samples) - min(stub),
            "median": statistics.median(samples) - statistics.median(stub)}


def two_cpus(samples: dict, flows: int) -> dict:
    """How much two CPUs do together, of what each does alone; the stub beside it as control."""
    def ratio(target: str) -> tuple[float, float]:
        of = [samples["two-cpus", flows, f"{target}_{name}"]
              for name in ("alone0", "alone1", "both0", "both1")]
        rounds = [a0 / b0 + a1 / b1 for a0, a1, b0, b1 in zip(*of)]
        low = [min(each) for each in of]
        return low[0] / low[2] + low[1] / low[3], statistics.median(rounds)
    best, median = ratio("xdplb")
    return {"what": "two CPUs at once, times one", "flows": flows_text(flows), "unit": "x",
            "min": round(best, 2), "median": round(median, 2),
            "floor": f"stub {ratio('stub')[0]:.2f}"}


def of_program(lines: list[dict]) -> list[dict]:
    samples = {(line["row"], line["flows"], line["target"]): line["ns"] for line in lines}
    rows = []
    for (name, flows, target), ns in samples.items():
        if name == "two-cpus" or target == "stub":
            continue
        what = {"empty": "floor: an empty program",
                "floor": "floor: parse, one LRU lookup, TX"}.get(target, NAMES.get(name, name))
        made = net_row(what, flows, ns, samples[name, flows, "stub"])
        floor = samples.get(("tcp4", flows, "floor"))
        if floor and target == "xdplb":
            below = min(floor) - min(samples["tcp4", flows, "stub"])
            made["floor"] = f"{made['min'] / below:.2f} x LRU"
        rows.append(made)
    return rows + [two_cpus(samples, flows) for name, flows, target in samples
                   if name == "two-cpus" and target == "xdplb_alone0"]


def of_e2e(rates: dict[tuple[str, int], list[float]]) -> list[dict]:
    names = {"kernel": "forwarded by the kernel", "nft": "nftables DNAT and masquerade",
             "xdplb": "xdplb"}
    rows = []
    for (name, queues), samples in rates.items():
        made = row(f"{names[name]}, {queues} queue{'s' * (queues > 1)}", str(1024), "Mpps",
                   [rate / 1e6 for rate in samples])
        if name == "xdplb":
            nft = rates["nft", queues]
            made["floor"] = (f"{max(samples) / max(nft):.2f} x nft, median "
                             f"{statistics.median(a / b for a, b in zip(samples, nft)):.2f}")
        rows.append(made)
    return rows


def of_scale(found: dict[str, list[float]]) -> list[dict]:
    large = "flow_table 4000000"
    return [
        row("start, 1000 services of 20 backends", "", "s", found["start_s"]),
        row("reload of one weight among them", "", "ms", [s * 1e3 for s in found["reload_s"]]),
        row(f"packets lost in these reloads, of {sum(found['sent'])}", "", "packets",
            found["lost"]),
        row("kernel memory, default tables", "", "MiB", [b / MIB for b in found["memory_default"]]),
        row(f"start, one service, {large}", "", "s", found["start_large_s"]),
        row(f"kernel memory, {large}", "", "MiB", [b / MIB for b in found["memory_large"]]),
    ]


def number(value: float, unit: str) -> str:
    return f"{value:.0f}" if value >= 100 or unit in ("ns", "packets") else f"{value:.2f}"


def text(part: str, rows: list[dict]) -> str:
    heads = {"program": "Program cost, one CPU, stub subtracted",
             "e2e": "End to end on all CPUs, UDP of 64 bytes", "scale": "Scale"}
    lines = [heads[part], f"  {'':58} {'flows':>6} {'min':>8} {'median':>8} {'max':>8}"]
    for made in rows:
        unit = made["unit"]
        least, middle, largest = (number(made[key], unit) if key in made else ""
                                  for key in ("min", "median", "max"))
        lines.append(f"  {made['what']:58} {made['flows']:>6} {least:>8} {middle:>8} "
                     f"{largest:>8} {unit:8}{made.get('floor', '')}")
    return "\n".join(line.rstrip() for line in lines) + "\n"
