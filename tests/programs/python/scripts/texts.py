"""json, re, csv, textwrap, string, difflib, html, xml: text in and out."""
import csv, difflib, html, io, json, re, string, textwrap, unicodedata
import xml.etree.ElementTree as ElementTree

document = {
    "name": "Ampoule", "tags": ["a", "ü", "\u20ac", None, True], "nested": {"pi": 3.141592653589793, "big": 2**70, "empty": {}, "list": []},
    "escapes": "tab\t quote\" back\\ nul\0 line\n",
}
text = json.dumps(document, indent=2, sort_keys=True)
print(text)
assert json.loads(text) == document
print(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
for broken in ['{"a": }', "[1, 2", '"\\x"', "nul", '{"a": 1} trailing', '{"a": NaN}']:
    try:
        print(json.loads(broken))
    except json.JSONDecodeError as error:
        print(type(error).__name__, error)

records = [{"id": n, "name": f"record {n}", "values": [n * k / 7 for k in range(5)], "even": n % 2 == 0} for n in range(5000)]
packed = json.dumps(records)
print(len(packed), sum(sum(record["values"]) for record in json.loads(packed)))

log = "\n".join(f"2024-{1 + n % 12:02}-{1 + n % 28:02}T{n % 24:02}:{n % 60:02}:00Z host{n % 7} GET /path/{n}?q={n * n} {200 + n % 5} {n * 37}" for n in range(20000))
pattern = re.compile(r"^(?P<date>[\d-]+)T(?P<hour>\d\d):\S+ (?P<host>host[135]) GET (?P<path>/\S+?)\?q=(?P<q>\d+) (?P<code>20[0-3]) (?P<size>\d+)$", re.MULTILINE)
sizes = {}
for match in pattern.finditer(log):
    sizes[match["host"], match["code"]] = sizes.get((match["host"], match["code"]), 0) + int(match["size"])
for key, size in sorted(sizes.items()):
    print(*key, size)
print(re.sub(r"(\w+) (\w+)", lambda match: f"{match[2].upper()} {match[1]}", "one two three four five"))
print(re.split(r"\s*[,;]\s*", "a , b;c ;  d"), re.findall(r"(?i)(?<=x)[a-z]+(?=\d)", "Xabc1 xdef xGHI2"), re.fullmatch(r"(a|ab)(c|bcd)(d*)", "abcd").groups())
print(re.search(r"\bß\w*", "die ßtraße").span(), re.match(r"(?:(\d+)|(\w+))+", "12ab34").groups(), re.escape("a.b*c"))
for broken in ["(", "a**", "[z-a]", "(?P<1>x)"]:
    try:
        re.compile(broken)
    except re.error as error:
        print(error)

table = io.StringIO()
writer = csv.writer(table)
writer.writerows([["plain", "with, comma", 'with "quotes"'], [1, 2.5, None], ["two\nlines", "", "é"]])
print(repr(table.getvalue()), list(csv.reader(io.StringIO(table.getvalue()))))
print(textwrap.fill(string.ascii_lowercase * 2 + " " + "word " * 30, 40, initial_indent="* ", subsequent_indent="  "))
print("".join(difflib.unified_diff("a\nb\nc\nd\n".splitlines(True), "a\nB\nc\ne\n".splitlines(True), "old", "new")))
print(string.Template("$who owes ${amount}").substitute(who="nobody", amount="nothing"), html.escape("<a href='x'>&</a>"), html.unescape("&eacute;&#8364;"))
print(unicodedata.name("ü"), unicodedata.normalize("NFD", "ü").encode(), "straße".upper(), "ΑΣ".lower(), "ǆ".title())

tree = ElementTree.fromstring("<root a='1'><item n='2'>text &amp; more</item><item n='3'/>tail</root>")
for item in tree.iter("item"):
    item.set("seen", str(int(item.get("n")) ** 2))
print(ElementTree.tostring(tree).decode(), tree.find("item[@n='3']").attrib)
try:
    ElementTree.fromstring("<a><b></a>")
except ElementTree.ParseError as error:
    print(error)
