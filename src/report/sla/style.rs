//! How the page looks: light, dark and on paper. Meaning never lies in a colour alone.

/// The style sheet. No script, no font and no picture from elsewhere.
pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --bg: #ffffff; --fg: #1b2027; --soft: #525c67; --line: #d5dbe1; --card: #f5f7f9;
  --good: #17804a; --warn: #8f5f00; --bad: #bd2436; --idle: #8b95a0; --blue: #0b62c4; --plan: #7048b6; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #10151b; --fg: #e7ecf2; --soft: #a3aebb; --line: #313a44; --card: #191f27; --good: #45b97c; --warn: #dba53a;
    --bad: #ff7a7a; --idle: #66717d; --blue: #74b4ff; --plan: #b595ff; } }
@media print {
  :root { color-scheme: light; --bg: #ffffff; --fg: #000000; --soft: #41484f; --line: #c4cad0; --card: #f5f7f9; --good: #17804a;
    --warn: #8f5f00; --bad: #bd2436; --idle: #8b95a0; --blue: #0b62c4; --plan: #7048b6; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@page { margin: 14mm; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--fg); font: 15px/1.5 system-ui, -apple-system, \"Segoe UI\", Roboto,
  \"Helvetica Neue\", Arial, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 36px 24px 56px; }
header { border-bottom: 2px solid var(--fg); padding-bottom: 14px; margin-bottom: 20px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; line-height: 1.3; margin: 36px 0 6px; }
p { margin: 6px 0; } .soft { color: var(--soft); } .small { font-size: 13px; }
.verdict { font-size: 18px; line-height: 1.45; margin: 14px 0 20px; padding-left: 14px; border-left: 5px solid var(--idle); }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict.warn { border-color: var(--warn); }
.cards { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 12px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; min-width: 0;
  overflow-wrap: anywhere; }
.card .name { font-size: 13px; color: var(--soft); } .card .figure { font-size: 25px; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; } .card .note { font-size: 13px; color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.verdict { color: var(--fg); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin: 8px 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
td:first-child { min-width: 110px; }
th:last-child, td:last-child { padding-right: 0; }
th { color: var(--soft); font-weight: 600; font-size: 13px; border-bottom-color: var(--idle); overflow-wrap: normal; }
.right { text-align: right; white-space: nowrap; } .nowrap { white-space: nowrap; }
code { font: 13px/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
svg { display: block; width: 100%; min-width: 620px; height: auto; margin: 8px 0; }
svg text { font: 12px system-ui, -apple-system, \"Segoe UI\", Roboto, \"Helvetica Neue\", Arial, sans-serif; fill: var(--soft);
  font-variant-numeric: tabular-nums; }
svg text.strong { fill: var(--fg); font-size: 13px; }
svg text.mark { fill: var(--bg); font-weight: 700; }
svg .grid { stroke: var(--line); stroke-width: 1; } svg .limit { stroke: var(--fg); stroke-width: 1.5;
  stroke-dasharray: 5 4; fill: none; }
svg .f-good { fill: var(--good); } svg .f-warn { fill: var(--warn); } svg .f-bad { fill: var(--bad); }
svg .f-plan { fill: var(--plan); } svg .f-blue { fill: var(--blue); }
svg .f-none { fill: var(--card); stroke: var(--idle); stroke-width: 1; stroke-dasharray: 3 2; }
svg .l-bad { stroke: var(--bad); } svg .l-blue { stroke: var(--blue); }
svg .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13px; color: var(--soft); padding: 0; margin: 4px 0;
  list-style: none; }
.key i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.k-good { background: var(--good); } .k-warn { background: var(--warn); } .k-bad { background: var(--bad); }
.k-plan { background: var(--plan); } .k-blue { background: var(--blue); }
.k-none { background: var(--card); border: 1px dashed var(--idle); }
.key i.k-limit { height: 0; border-top: 2px dashed var(--fg); border-radius: 0; vertical-align: 3px; }
ol.advice { padding-left: 22px; } ol.advice li { margin: 8px 0; }
footer { margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px; }
dl { margin: 8px 0; font-size: 13px; color: var(--soft); } dt { font-weight: 600; color: var(--fg); } dd { margin: 0 0 6px; }
@media (max-width: 720px) { .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); } main { padding: 20px 14px 40px; } }
@media print { main { max-width: none; padding: 0; } body { font-size: 11.5px; } h1 { font-size: 24px; }
  h2 { font-size: 15px; margin-top: 22px; break-after: avoid; } .verdict { font-size: 14px; } .small, .key, dl { font-size: 10px; }
  .card { padding: 8px 10px; } .card .figure { font-size: 18px; } .card .name, .card .note { font-size: 10px; }
  table { font-size: 9.5px; } th { font-size: 9.5px; } th, td { padding: 3px 8px 3px 0; } td:first-child { min-width: 0; }
  .wide { overflow: visible; } svg { min-width: 0; } section, .card, tr, li, svg { break-inside: avoid; }
  section.long { break-inside: auto; } }
";
