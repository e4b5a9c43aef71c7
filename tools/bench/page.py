"""The report as one HTML page that needs nothing else: styles and pictures are inside. Light and dark by
what the reader's system asks for, and readable on a phone. Used by report.py."""

import html as escape

import table
from rows import Rows

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1a1a1a; --dim: #5a5a5a; --line: #d8d8d8; --head: #f3f4f6; }
@media (prefers-color-scheme: dark) { :root { --back: #14161a; --text: #e6e6e6; --dim: #a5a5a5; --line: #363a42; --head: #1f2329; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .3rem 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); font-size: .9rem; }
.box { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid var(--line); overflow-wrap: normal; }
td { white-space: nowrap; } td.long { white-space: normal; min-width: 16rem; } th { background: var(--head); font-weight: 600; }
tr:last-child td { border-bottom: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .5rem; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; color: var(--text); } figcaption { font-size: .9rem; font-weight: 600; }
pre { overflow-x: auto; background: var(--head); padding: .6rem; border-radius: 6px; font-size: .8rem; }
.bad { color: #c62828; font-weight: 600; } @media (prefers-color-scheme: dark) { .bad { color: #ff8a80; } }
summary { cursor: pointer; }
"""
LONG = 40  # characters from which a cell may wrap


def e(text):
    return escape.escape(str(text), quote=True)


def table_html(t):
    out = [f"<h2>{e(t.title)}</h2>", '<div class="box" tabindex="0"><table><thead><tr>']
    out += [f'<th scope="col">{e(h)}</th>' for h in t.head] + ["</tr></thead><tbody>"]
    for row in t.rows:
        cells = [f'<td{" class=long" if len(c) > LONG else ""}>{e(c)}</td>' for c in row]
        out.append("<tr>" + "".join(cells) + "</tr>")
    out.append("</tbody></table></div>")
    if t.note:
        out.append(f'<p class="dim">{e(t.note)}</p>')
    return "".join(out)


def figure(p):
    svg = p.svg.replace("<svg", f'<svg role="img" aria-label="{e(p.alt)}"', 1)
    return f"<figure><figcaption>{e(p.title)}</figcaption>{svg}</figure>"


def consoles(summary):
    out = []
    for f in summary["failures"]:
        title = f"{f['system']}, {f['program']}, repeat {f['repeat']}: {f['what']}"
        out.append(f"<details><summary>{e(title)}</summary><pre>{e(f['console'] or '(nothing on the console)')}</pre></details>")
    return ("<h2>Consoles of what failed</h2>" + "".join(out)) if out else ""


def environment(summary):
    env = summary["environment"] or {}
    rows = [[k.replace("_", " "), ", ".join(f"{a}: {b or 'unknown'}" for a, b in v.items()) if isinstance(v, dict) else
             ", ".join(f"{x:.2f}" for x in v) if isinstance(v, list) else str(v)]
            for k, v in env.items() if k != "record" and v is not None]
    for i in summary["images"]:
        rows.append([f"{i['system']}, {i['program']}", " ".join(i["argv"])])
        for key in ("kernel", "root", "binary"):
            if isinstance(i.get(key), dict):
                rows.append([f"{i['system']}, {i['program']}: {key}",
                             " ".join(f"{k} {v}" for k, v in i[key].items() if v is not None)])
    return table_html(Rows("What was measured, and where", ["what", ""], rows))


def html(summary, pictures):
    head = table.heading(summary)
    out = ['<!doctype html><html lang="en"><head><meta charset="utf-8">',
           '<meta name="viewport" content="width=device-width, initial-scale=1">',
           '<link rel="icon" href="data:,">',
           f"<title>{e(summary['title'])}</title><style>{STYLE}</style></head><body>",
           f"<h1>{e(head[0])}</h1>"] + [f'<p class="dim">{e(line)}</p>' for line in head[1:]]
    if not summary["complete"]:
        out.append('<p class="bad">This sweep was not finished: what follows is a part.</p>')
    if summary["failures"]:
        out.append(f'<p class="bad">{len(summary["failures"])} boots failed; their consoles are at the end.</p>')
    if summary["invalid_points"]:
        out.append(f'<p class="bad">{summary["invalid_points"]} of {summary["points"]} points are invalid (the generator was late, '
                   "short of CPU or of ports, or failed); they are marked.</p>")
    out.append('<div class="plots">' + "".join(figure(p) for p in pictures) + "</div>")
    out += [table_html(t) for t in table.all_tables(summary)]
    out += [consoles(summary), environment(summary),
            '<p class="dim">Made by wherry report from the raw records beside this page; docs/bench.md says how each number comes about.</p>',
            "</body></html>"]
    return "".join(out) + "\n"
