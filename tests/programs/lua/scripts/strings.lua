-- string.format, patterns, pack, utf8.

local text = "The quick brown fox jumps over the lazy dog; it is 12:34 on 2024-02-29."

print(text:gsub("%a+", string.upper, 3))
print(text:gsub("(%w+) (%w+)", "%2 %1"))
print((text:gsub("%d", { ["1"] = "one", ["2"] = "two" })))
print(text:match("(%d+):(%d+)"), text:match("(%d%d%d%d)%-(%d%d)%-(%d%d)"))
print(text:find("fox", 1, true), text:find("%f[%a]l%a+"), text:find("zebra"))
for word, position in text:gmatch("(%a+)()") do
	io.write(word, "@", position, " ")
end
print()
print(("x"):rep(5, "-"), ("abc"):reverse(), ("abc"):byte(1, -1), #text)
print(("f(a(b)c)d"):match("%b()"), ("  trimmed  "):match("^%s*(.-)%s*$") .. "|")

print(string.format("%5d|%-5d|%05d|%+d|%x|%X|%#o|%c", 42, 42, 42, 42, 255, 255, 8, 65))
print(string.format("%.3f|%10.2e|%g|%g|%a", 1 / 3, 12345.678, 1e20, 0.1, 1.0))
print(string.format("%s|%10s|%-10s|%.2s|%q|%%|%i", nil, "right", "left", "cut", 'a "quoted"\n\0line', -3))
print(string.format("%q %q %q", 1 / 3, math.mininteger, 0x7fffffffffffffff))

local packed = string.pack("<i4>I2zs1dBj", -2, 65535, "zero", "counted", 1.5, 255, math.maxinteger)
print(#packed, (packed:gsub(".", function(c)
	return string.format("%02x", c:byte())
end)))
print(string.unpack("<i4>I2zs1dBj", packed))
print(string.packsize("<!8 i1 i8 i2"), pcall(string.pack, "i1", 300))

print(utf8.char(72, 228, 8364, 128512), utf8.len("Hä€😀"), utf8.codepoint("Hä€😀", 1, -1))
for position, code in utf8.codes("ä€😀") do
	io.write(position, ":", string.format("U+%04X", code), " ")
end
print(utf8.offset("ä€😀", 3), utf8.len("\xff"))

-- A text of some size: words counted, sorted and printed.
local state, counts = 42, {}
for _ = 1, 200000 do
	state = (state * 69069 + 1) % 4294967296
	local word = string.format("w%x", (state >> 16) % 251)
	counts[word] = (counts[word] or 0) + 1
end
local words = {}
for word in pairs(counts) do
	words[#words + 1] = word
end
table.sort(words, function(a, b)
	return counts[a] > counts[b] or counts[a] == counts[b] and a < b
end)
for i = 1, 20 do
	io.write(words[i], "=", counts[words[i]], i % 10 == 0 and "\n" or " ")
end
local parts = {}
for i = 1, 50000 do
	parts[i] = ("%d:%s"):format(i, ("%x"):format(i * 7919))
end
local joined = table.concat(parts, ",")
print(#joined, select(2, joined:gsub("7", "7")), joined:sub(-30))
