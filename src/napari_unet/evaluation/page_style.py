"""How the page of a report looks, on a bright or dark screen and on paper."""

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --warn: #d55e00; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, "Segoe UI", Roboto, Arial, sans-serif;
  max-width: 1060px; margin: 1.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.08rem; margin: 1.6rem 0 .5rem; }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.faint, figcaption, dd, small { opacity: .8; }
.warn { border-left: 4px solid var(--warn); background: var(--soft);
  padding: .5rem .8rem; margin: .6rem 0; }
.cards { display: flex; flex-wrap: wrap; gap: .6rem; margin: .9rem 0; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: .45rem .9rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .8rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
tfoot td { font-weight: 600; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { white-space: nowrap; vertical-align: top; }
.panels { display: grid; grid-template-columns: repeat(4, 1fr); gap: .5rem; }
figure { margin: 0; }
figure img { width: 100%; display: block; image-rendering: pixelated;
  border: 1px solid var(--line); }
.swatch { display: inline-block; width: .85em; height: .85em; margin-right: .35em;
  border: 1px solid #888; vertical-align: -.08em; }
.legend span { margin-right: 1.1em; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem;
  margin: .3rem 0; }
dt { font-weight: 600; } dd { margin: 0; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: currentColor; font-size: 11px; }
@media print {
  :root { color-scheme: light; }
  body { font-size: 11px; max-width: none; margin: 0; padding: 0; }
  figure, tr, .card, dl, .panels { break-inside: avoid; }
  h2 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@media (max-width: 640px) { .panels { grid-template-columns: repeat(2, 1fr); } }
"""
