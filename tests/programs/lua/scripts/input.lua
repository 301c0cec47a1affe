-- Reads stdin: the first lines one by one, numbers them, then counts the rest.

for number = 1, 5 do
	print(number, io.read("l"))
end
local rest, longest = 0, ""
for line in io.lines() do
	rest = rest + 1
	if #line > #longest then
		longest = line
	end
end
print(rest, longest, io.read("l"))
