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
    "splice4": "spliced, from the client, data",
    "splice4-reply": "spliced, from the backend",
    "splice4-sack": "spliced, from the client, one SACK block",
    "cookie": "SYN of a sniffed service, answered by cookie",
    "bad-cookie": "bad cookie, its reset not sent: limited",
}
PLAIN = {"splice4": "tcp4", "splice4-reply": "reply4", "splice4-sack": "tcp4"}
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
        if (PLAIN.get(name), flows, "xdplb") in samples:
            plain = net_row("", flows, samples[PLAIN[name], flows, "xdplb"],
                            samples[PLAIN[name], flows, "stub"])
            made["floor"] = (f"{made['min'] / plain['min']:.2f} x NAT, median "
                             f"{made['median'] / plain['median']:.2f}")
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


PEERS = ("haproxy", "nginx", "sslh")


def added_rows(found: dict[str, dict], key: str, unit: str) -> list[dict]:
    """A row a way; what it adds to the direct run, and beside what the best of the peers adds."""
    def added(name: str) -> tuple[float, float]:
        direct, own = found["direct"][key], found[name][key]
        return min(own) - min(direct), statistics.median(own) - statistics.median(direct)
    best = min(PEERS, key=lambda name: added(name)[1])
    rows = []
    for name, of in found.items():
        made = row(f"{of['what']}: {unit}", "", "s", of[key])
        if name != "direct":
            made["floor"] = "adds {:.2f}, median {:.2f}".format(*added(name))
        if name in ("xdplb", "nat"):
            low, middle = (own / peer for own, peer in zip(added(name), added(best)))
            made["floor"] += f": {low:.2f} x {best}'s, median {middle:.2f}"
        rows.append(made)
    return rows


def of_connections(found: dict[str, dict]) -> list[dict]:
    rows = []
    for of in found.values():
        failed = sum(of["failed"]) + sum(of["wrong"])
        rows.append(row(of["what"], "", "conn/s", of["rate"], floor=f"{failed} of "
                        f"{sum(of['ok']) + failed} failed" if failed else ""))
    return (rows + added_rows(found, "cpu", "machine per 10,000") +
            added_rows(found, "ran", "programs per 10,000"))


def of_route(idle: list[float], connections: dict[str, dict],
             packets: dict[str, list[float]]) -> list[dict]:
    rows = of_connections(connections)
    rows.append(row("CPUs while nothing is measured", "", "% CPU", [100 * each for each in idle],
                    floor="others were at work: not to be believed" if max(idle) > 0.2 else ""))
    for name, what in (("nat", "TCP, plain NAT"), ("spliced", "TCP, spliced")):
        made = row(what, "1024", "Mpps", [rate / 1e6 for rate in packets[name]])
        if name == "spliced":
            plain = packets["nat"]
            made["floor"] = (f"{max(packets[name]) / max(plain):.2f} x NAT, median "
                             f"{statistics.median(a / b for a, b in zip(packets[name], plain)):.2f}")
        rows.append(made)
    return rows


def of_siege(idle: dict[str, list[float]], flood: dict[str, list[float]]) -> list[dict]:
    asked, failed = sum(flood["asked"]), sum(flood["failed"])
    return [
        row("clients that said half a hello", "", "open", idle["open"]),
        row("worker with them, resident", "", "MB", [b / 1e6 for b in idle["resident"]],
            floor=f"without: {idle['empty'][0] / 1e6:.1f}"),
        row("map sniffs with them", "", "MB", [b / 1e6 for b in idle["map"]],
            floor=f"without: {idle['map_empty'][0] / 1e6:.1f}"),
        row("worker while they are silent", "", "% CPU", [s * 100 for s in idle["cpu"]]),
        row("cookies that saturate a core", "", "Mpps", [r / 1e6 for r in flood["most"]]),
        row("flood at half of it, answered", "", "Mpps", [r / 1e6 for r in flood["rate"]]),
        row("  new connections that failed", "", "%",
            [100 * f / a for f, a in zip(flood["failed"], flood["asked"])],
            floor=f"{failed} of {asked}"),
        row("  new ones that took over a second", "", "", flood["slow"]),
        row("  spliced ones that were lost", "", "", flood["lost"],
            floor=f"{sum(flood['words'])} words echoed, {sum(flood['late'])} late"),
        row("  slowest echo", "", "ms", flood["slowest"],
            floor=f"without flood: {max(flood['slowest_quiet']):.1f}"),
        row("  worker", "", "% CPU", flood["cpu"],
            floor=f"without flood: {statistics.median(flood['cpu_quiet']):.1f}"),
    ]


def of_wire(found: dict[str, list[float]]) -> list[dict]:
    rows = []
    for direction, what in (("down", "to the client"), ("up", "to the backend")):
        plain, spliced = found[f"nat {direction}"], found[f"spliced {direction}"]
        rows.append(row(f"10 MB {what}, plain NAT", "", "MB/s", plain))
        rows.append(row(f"10 MB {what}, spliced", "", "MB/s", spliced, floor="median "
                        f"{statistics.median(spliced) / statistics.median(plain):.2f} x NAT"))
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
             "e2e": "End to end on all CPUs, UDP of 64 bytes", "scale": "Scale",
             "route": "TLS routed by name, and packets after the hello",
             "siege": "Half hellos, and a flood of SYNs",
             "wire": "A wire that loses 1 %, doubles 0.5 % and reorders 1 %"}
    lines = [heads[part], f"  {'':58} {'flows':>6} {'min':>8} {'median':>8} {'max':>8}"]
    for made in rows:
        unit = made["unit"]
        least, middle, largest = (number(made[key], unit) if key in made else ""
                                  for key in ("min", "median", "max"))
        lines.append(f"  {made['what']:58} {made['flows']:>6} {least:>8} {middle:>8} "
                     f"{largest:>8} {unit:8}{made.get('floor', '')}")
    return "\n".join(line.rstrip() for line in lines) + "\n"
