"""The report's style sheet: two themes, a phone's width, and paper."""

CSS = """
:root{color-scheme:light dark;--bg:#f7f7f5;--card:#fff;--ink:#17181a;--soft:#55585e;--faint:#8a8d94;--rule:#e3e3df;
--grid:#ecece8;--axis:#b9bbb6;--accent:#2a78d6;--good:#0a7a3d;--good-bg:#e6f4ea;--warn:#8a5a00;--warn-bg:#fdf3dc;
--bad:#b3261e;--bad-bg:#fbe9e7;--s1:#2a78d6;--s2:#e2622b;--s3:#159a6c;--s4:#7a4fc9;--s5:#d9a100;--s6:#d6498f;
--s7:#5b7f12;--s8:#7c7f86}
@media (prefers-color-scheme:dark){:root{--bg:#131416;--card:#1b1d20;--ink:#ececea;--soft:#b2b5ba;--faint:#85888f;
--rule:#2e3136;--grid:#26292d;--axis:#4a4e55;--accent:#5a9ff0;--good:#5fce8c;--good-bg:#173324;--warn:#f0c05a;
--warn-bg:#352a12;--bad:#ff8a80;--bad-bg:#3a1c1a;--s1:#4a94ee;--s2:#f0803f;--s3:#2fb886;--s4:#a384ee;--s5:#e0b23a;
--s6:#ec72ae;--s7:#93b93f;--s8:#9da1a8}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1200px;margin:0 auto;padding:28px 24px 64px}
header{margin-bottom:20px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:19px;margin:44px 0 4px;padding-top:20px;border-top:1px solid var(--rule);letter-spacing:-.01em}
h3{font-size:14px;margin:0 0 2px;font-weight:600;overflow-wrap:anywhere}
p{margin:6px 0}
.sub{color:var(--soft);margin:0}
.note{color:var(--soft);font-size:13px;margin:0 0 10px}
ul.note{margin:8px 0 10px;padding-left:18px}
.chips{display:flex;flex-wrap:wrap;gap:6px;margin:12px 0 0}
.chip{font-size:12.5px;padding:2px 10px;border-radius:99px;background:var(--card);border:1px solid var(--rule);
color:var(--soft)}
.chip.good{background:var(--good-bg);color:var(--good);border-color:transparent}
.chip.warn{background:var(--warn-bg);color:var(--warn);border-color:transparent}
.chip.bad{background:var(--bad-bg);color:var(--bad);border-color:transparent}
.decide{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:4px 0;margin:14px 0 0;
font-size:16.5px;line-height:1.45}
.decide p{margin:10px 16px;padding-left:13px;border-left:4px solid var(--axis)}.decide p.good{border-color:var(--good)}
.decide p.warn{border-color:var(--warn)}.decide p.bad{border-color:var(--bad)}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:13px;margin-top:14px}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
.call{border-left:3px solid var(--warn);background:var(--warn-bg);padding:10px 14px;border-radius:0 8px 8px 0;
margin:16px 0;font-size:13.5px;overflow-wrap:anywhere}
.call.bad{border-color:var(--bad);background:var(--bad-bg)}
.call ul{margin:4px 0 0;padding-left:18px}
.call summary{cursor:pointer;font-weight:600}
.wins{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:10px;margin:14px 0 18px}
.win{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:10px 13px;min-width:0}
.win .goal{font-size:12px;color:var(--soft)}
.win .value{font-size:21px;font-weight:650;letter-spacing:-.015em;line-height:1.25}
.win .value small{font-size:13px;font-weight:500;color:var(--soft)}
.win .who{font-size:13px;overflow-wrap:anywhere}
.win .tie{font-size:12px;color:var(--faint)}
.table{overflow-x:auto;border:1px solid var(--rule);border-radius:10px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:12.5px}
th,td{padding:7px 5px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
tr:last-child td{border-bottom:0}
th{font-weight:600;color:var(--soft);font-size:11.5px;vertical-align:bottom;white-space:normal;line-height:1.25}
.w .iv{white-space:normal;min-width:96px}td:last-child,td .tag{white-space:normal}
th:first-child,td:first-child,.l{text-align:left}
td:first-child{font-weight:550;white-space:normal;min-width:120px}
td .iv,td small{display:block;color:var(--faint);font-size:11px;font-weight:400}
tr.failed td{color:var(--bad);white-space:normal}
.tag{font-size:11px;padding:0 6px;border-radius:5px;background:var(--bad-bg);color:var(--bad);margin-left:4px}
.tag.warn{background:var(--warn-bg);color:var(--warn)}
.sw{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:7px}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:14px;margin-top:14px}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px;min-width:0;margin:0}
.card.full,.pair{grid-column:1/-1}
.pair{display:grid;grid-template-columns:minmax(0,1fr);gap:14px}
svg{display:block;max-width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
.narrow,.paper,.onpaper,.table tr.onpaper{display:none}
svg .k{fill:var(--soft)}svg .n{fill:var(--faint);font-size:11.5px}svg .hl{fill:var(--ink)}
svg .hl{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
svg .in{fill:#fff;font-size:11px;font-weight:600}
svg .g{stroke:var(--grid)}svg .a{stroke:var(--axis)}svg .lead{stroke:var(--faint);stroke-width:.8}
svg .r{fill:none;stroke:currentColor;stroke-width:1.8;pointer-events:all}
svg .f{fill:currentColor}svg .d{fill:currentColor;stroke:var(--card);stroke-width:1.5}svg .o{fill-opacity:.55}
svg .l{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
svg .e{stroke:currentColor;stroke-width:1.4;opacity:.55}
svg .p{fill:none;stroke:currentColor;stroke-width:3;stroke-linecap:round;opacity:.4}
svg .m{stroke:currentColor;stroke-width:2.6}
svg .b{fill:currentColor;fill-opacity:.22;stroke:currentColor;stroke-width:1.3}
svg .q{stroke:currentColor;stroke-width:1.6}
svg .front{color:var(--faint);stroke-dasharray:4 4;stroke-width:1.4}
svg .roof{color:var(--ink);stroke-width:1.6}
.s1{color:var(--s1)}.s2{color:var(--s2)}.s3{color:var(--s3)}.s4{color:var(--s4)}.s5{color:var(--s5)}
.s6{color:var(--s6)}.s7{color:var(--s7)}.s8{color:var(--s8)}svg .bad{color:var(--bad)}
.sw{background:currentColor}
.worst{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px;margin-top:10px}
.worst figure{margin:0;font-size:12px;min-width:0;overflow-wrap:anywhere}
.worst img{width:100%;aspect-ratio:4/3;object-fit:contain;border-radius:6px;background:var(--grid);display:block;
margin-bottom:4px}
.triple{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:8px;font-size:12px;margin-top:10px}
.triple img{width:100%;border-radius:6px;display:block;image-rendering:auto}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:3px 18px;margin:8px 0 0;font-size:13px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
details.card summary{cursor:pointer;font-weight:600;font-size:14px}
footer{margin-top:44px;color:var(--faint);font-size:12.5px}
@media screen and (max-width:1000px){.grid{grid-template-columns:minmax(0,1fr)}}
@media screen and (max-width:760px){.narrow svg{width:100%;max-width:470px}
main{padding:18px 14px 44px}h1{font-size:22px}
.wide{display:none}.narrow{display:block}.card{padding:12px}.wins{grid-template-columns:repeat(2,minmax(0,1fr))}
.win .value{font-size:18px}dl{grid-template-columns:minmax(0,1fr)}dd{margin-bottom:5px}
.table table,.table tbody,.table tr,.table td{display:block;width:auto}.table thead{display:none}
.table tr{padding:10px 12px;border-bottom:1px solid var(--rule);display:grid;
grid-template-columns:repeat(3,minmax(0,1fr));gap:6px 10px}.table tr:last-child{border-bottom:0}
.table td{border:0;padding:0;text-align:left;white-space:normal}
.table td:first-child,.table tr.failed td{grid-column:1/-1}
.table td[data-l]::before{content:attr(data-l);display:block;font-size:11px;color:var(--faint);font-weight:400}}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#333;--faint:#555;--rule:#ccc;
--grid:#e8e8e8;--axis:#999;--accent:#2a78d6;--good:#0a7a3d;--good-bg:#e6f4ea;--warn:#8a5a00;--warn-bg:#fdf3dc;
--bad:#b3261e;--bad-bg:#fbe9e7;--s1:#2a78d6;--s2:#e2622b;--s3:#159a6c;--s4:#7a4fc9;--s5:#d9a100;--s6:#d6498f;
--s7:#5b7f12;--s8:#7c7f86}
@page{size:A4 landscape;margin:8mm}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.screen,.wide,.narrow,.table tr.screen,nav,footer{display:none}.paper,.onpaper{display:block}
.table tr.onpaper{display:table-row}span.onpaper{display:inline}li.onpaper{display:list-item}
body{font-size:10px;line-height:1.3}main{max-width:none;padding:0;zoom:.92}header{margin:0}
h1{font-size:18px}h2{margin:7px 0 0;padding-top:4px;font-size:13px;break-after:avoid}h3{font-size:10.5px}
.decide{font-size:11px;margin-top:5px;padding:0}.decide p{margin:3px 10px}
.note,.call,dl{font-size:9px;line-height:1.25}.note{margin:0 0 4px}.chips{margin-top:5px;gap:4px}.chip{font-size:9.5px}
.call{margin:5px 0;padding:3px 10px}.call ul{columns:2;column-gap:28px;margin-top:2px;font-size:8.5px}
.wins{grid-template-columns:repeat(auto-fill,minmax(280px,1fr));margin:5px 0;gap:6px}.win{padding:4px 8px}
.win .goal,.win .who,.win .tie{font-size:9px;line-height:1.25}.win .value{font-size:13px}
.table{overflow:visible;border-radius:5px}table{font-size:9px}th{font-size:8.5px}th,td{padding:1.5px 3px}
td .iv{display:inline;font-size:8px;margin-left:3px}.w .iv{min-width:0}.tag{font-size:8px;padding:0 4px}
.sw{width:7px;height:7px;margin-right:4px}
.grid{display:block;columns:5;column-gap:6px;margin-top:5px}
.last{columns:5;column-gap:6px;margin-top:6px}.last .grid{columns:auto;margin:0}
.card.table-card,.pair{column-span:all}
.last h2{margin:0 0 4px}
.card{padding:5px 8px;margin:0 0 6px;border-radius:5px}.card .note{font-size:8.5px;line-height:1.2}
.pair{grid-template-columns:repeat(2,minmax(0,1fr));gap:6px}.pair .card{margin:0}
.pair th,.pair td,.table-card th,.table-card td{padding:1px 3px;font-size:8px}
.table-card td:nth-child(n+5) .iv,.pair td .iv{display:none}
.top td,.top td .iv,.pair td:first-child,.table-card td:first-child{white-space:nowrap;min-width:0}
.top,.card,.win,figure,tr{break-inside:avoid}.last div.card{break-inside:auto}thead{display:table-header-group}
.worst{grid-template-columns:repeat(3,minmax(0,1fr));gap:4px;margin-top:4px}.worst figure{font-size:8px;line-height:1.2}
.worst figure:nth-child(n+4){display:none}.triple{gap:4px;font-size:8px;margin-top:4px;line-height:1.2}
figure dl{display:block}figure dt,figure dd{display:inline}figure dd::before{content:' '}
figure dd::after{content:'';display:block}
dl{font-size:8.5px;line-height:1.15;gap:0 8px;margin-top:4px;grid-template-columns:fit-content(48%) minmax(0,1fr)}
ul{margin:3px 0;padding-left:14px}.last li{font-size:8.5px;line-height:1.2}.call li{break-inside:avoid}
details::details-content{content-visibility:visible;height:auto}}
"""
