"""Medians and ratios of a run, as text, Markdown and a chart"""
import collections
import html
import statistics

Metric = collections.namedtuple("Metric", "title unit test key higher digits")

METRICS = (
    Metric("TCP, one stream", "Gbit/s", "tcp1", "gbit", True, 2),
    Metric("CPU, both daemons", "s/GB", "tcp1", "cpu", False, 2),
    Metric("CPU, whole machine", "s/GB", "tcp1", "machine_cpu", False, 2),
    Metric("TCP, four streams", "Gbit/s", "tcp4", "gbit", True, 2),
    Metric("TCP, reverse", "Gbit/s", "reverse", "gbit", True, 2),
    Metric("64-byte UDP packets, under 1 % lost", "k/s", "pps", "packets", True, 0),
    Metric("round trip added", "us", "rtt", "added_us", False, 0),
    Metric("memory (RSS) of a daemon", "MiB", "rss", "mib", False, 1),
    Metric("TCP through the relay", "Gbit/s", "relay", "gbit", True, 2),
    Metric("CPU, relay", "s/GB", "relay", "coordinator_cpu", False, 2),
)
SCALE = {"packets": 1e-3}
OWN = ("warren", "warren-libsodium", "warren-plain", "floor")
CHART = ("tcp1:gbit", "tcp1:cpu", "pps:packets", "rtt:added_us", "relay:gbit")


class Table:
    def __init__(self, result):
        self.result = result
        self.names = [p["name"] for p in result["programs"]]
        self.medians = {}
        for metric in METRICS:
            for name in self.names:
                values = [s["values"][metric.key] * SCALE.get(metric.key, 1) for s in result["samples"]
                          if s["vpn"] == name and s["test"] == metric.test and "values" in s and s["values"].get(metric.key) is not None]
                if values:
                    self.medians[metric, name] = statistics.median(values)

    def metric(self, test, key):
        return next(m for m in METRICS if (m.test, m.key) == (test, key))

    def value(self, test, key, name):
        return self.medians.get((self.metric(test, key), name))

    def peers(self):
        return [n for n in self.names if n not in OWN]

    def best_peer(self, metric):
        """(value, name) of the best of the other VPNs; None without one."""
        known = [(self.medians[metric, n], n) for n in self.peers() if (metric, n) in self.medians]
        return (max if metric.higher else min)(known, default=None)

    def used_metrics(self):
        return [m for m in METRICS if any((m, n) in self.medians for n in self.names)]

    # -- the ratios that are asked about

    def ratios(self):
        """(sentence, ratio) for each pair that was measured; a ratio is first over second."""
        asked = [("TCP, one stream: {} over wireguard-go", "tcp1", "gbit", own, "wireguard-go") for own in OWN[:3]]
        asked += [("TCP, one stream: {} over the best peer, {}", "tcp1", "gbit", own, None) for own in OWN[:3]]
        asked += [("CPU per GB, both daemons: {} over wireguard-go", "tcp1", "cpu", "warren", "wireguard-go"),
                  ("TCP, one stream: {} over the floor program", "tcp1", "gbit", "warren", "floor"),
                  ("CPU per GB, both daemons: {} over the floor program", "tcp1", "cpu", "warren", "floor"),
                  ("TCP, four streams: {} over the best peer, {}", "tcp4", "gbit", "warren", None),
                  ("TCP, reverse: {} over the best peer, {}", "reverse", "gbit", "warren", None),
                  ("64-byte UDP packets: {} over the best peer, {}", "pps", "packets", "warren", None),
                  ("round trip added: {} over the best peer, {}", "rtt", "added_us", "warren", None),
                  ("memory: {} over the best peer, {}", "rss", "mib", "warren", None),
                  ("TCP through the relay: {} over nebula", "relay", "gbit", "warren", "nebula"),
                  ("CPU per GB of the relay: {} over nebula", "relay", "coordinator_cpu", "warren", "nebula")]
        for sentence, test, key, own, other in asked:
            mine = self.value(test, key, own)
            if other is None:
                best = self.best_peer(self.metric(test, key))
                theirs, other = best if best else (None, None)
            else:
                theirs = self.value(test, key, other)
            if mine is not None and theirs:
                yield sentence.format(own, other), mine / theirs

    # -- written

    def cell(self, metric, name):
        value = self.medians.get((metric, name))
        return "" if value is None else f"{value:.{metric.digits}f}"

    def machine_line(self):
        m = self.result["machine"]
        return (f"{m['cores']} cores of {m['cpu']} ({', '.join(m['cpu_has'])}), Linux {m['kernel']}, {m['system']}; "
                f"{self.result['rounds']} rounds of {self.result['seconds']} s, {self.result['date']}")

    def in_force(self):
        """What each variant of warren said of its ciphers and offloads."""
        for p in self.result["programs"]:
            about = p.get("about") or {}
            ciphers = ", ".join(f"{c['suite']} by {c['implementation']}" for c in about.get("ciphers", []))
            offloads = ", ".join(k for k, v in about.get("offload", {}).items() if v) or "none"
            if about:
                yield f"  {p['name']}: {about.get('workers')} workers; {ciphers}; offloads in force: {offloads}"

    def text(self):
        used = self.used_metrics()
        width = max(len(n) for n in self.names) + 2
        titles = [f"{m.title} [{m.unit}]" for m in used]
        left = max(map(len, titles), default=0) + 2
        lines = ["medians; " + self.machine_line(), "", " " * left + "".join(f"{n:>{width}}" for n in self.names)]
        lines += [f"{title:{left}}" + "".join(f"{self.cell(m, n) or '-':>{width}}" for n in self.names) for title, m in zip(titles, used)]
        lines += ["", "ratios"] + [f"  {ratio:8.2f}  {sentence}" for sentence, ratio in self.ratios()]
        lines += ["", *self.in_force()]
        lowered = {s["vpn"] for s in self.result["samples"] if s["test"] == "pps" and s.get("values", {}).get("limited_by_sender")}
        if lowered:
            lines += ["", f"small packets: the sender, not the tunnel, was the limit with {', '.join(sorted(lowered))}"]
        errors = [f"  {s['vpn']} {s['test']}: {s['error']}" for s in self.result["samples"] if "error" in s]
        return "\n".join(lines + (["", "failed"] + errors if errors else []))

    def markdown(self):
        heads = [p["name"] if p["name"] in OWN else f"{p['name']} {p['version'].split('+')[0].split('-')[0]}"
                 for p in self.result["programs"]]
        lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
        for m in self.used_metrics():
            lines.append(f"| {m.title}, {m.unit} | {' | '.join(self.cell(m, n) or '–' for n in self.names)} |")
        lines += ["", f"Medians of {self.machine_line()}, by `sh tests/bench/run.sh`."]
        return "\n".join(lines) + "\n"

    def svg(self):
        """One panel a metric, one bar a program; the colours of the text follow the reader's scheme."""
        panels = [m for m in self.used_metrics() if f"{m.test}:{m.key}" in CHART]
        row, title, gap, left, bar, width = 20, 30, 16, 150, 420, 660
        out, y = [], 10
        for m in panels:
            shown = [n for n in self.names if (m, n) in self.medians]
            largest = max(max(self.medians[m, n], 0) for n in shown) or 1
            better = "more is better" if m.higher else "less is better"
            out.append(f'<text class="t" x="10" y="{y + 18}">{html.escape(m.title)}, {m.unit}<tspan class="s"> · {better}</tspan></text>')
            y += title
            for n in shown:
                length = max(1, bar * max(self.medians[m, n], 0) / largest)
                kind = "floor" if n == "floor" else "own" if n in OWN else "peer"
                out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(n)}</text>'
                           f'<rect class="{kind}" x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 5}" rx="2"/>'
                           f'<text x="{left + length + 6:.1f}" y="{y + 14}">{self.cell(m, n)}</text>')
                y += row
            y += gap
        for line in self.machine_line().replace(", Linux", "; Linux").split("; "):
            out.append(f'<text class="s" x="10" y="{y + 8}">{html.escape(line)}</text>')
            y += 14
        style = ("text{font:12px sans-serif;fill:#333}.t{font-size:14px;font-weight:bold}.s{font-size:10px;font-weight:normal;fill:#777}"
                 ".own{fill:#2a7f62}.floor{fill:none;stroke:#2a7f62;stroke-dasharray:3 2}.peer{fill:#9aa5b1}@media(prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#999}.peer{fill:#66717d}}")
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 20}" width="{width}" height="{y + 20}">'
                f'<title>warren and other VPNs, measured in turns on one machine</title><style>{style}</style>\n'
                + "\n".join(out) + "\n</svg>\n")
