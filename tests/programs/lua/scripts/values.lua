-- Tables, goto, integers and floats, and what comparison and length mean.

local function show(value, indent)
	indent = indent or ""
	if type(value) ~= "table" then
		return type(value) == "string" and string.format("%q", value) or tostring(value)
	end
	local keys = {}
	for key in pairs(value) do
		keys[#keys + 1] = key
	end
	table.sort(keys, function(a, b)
		if type(a) == type(b) then
			return a < b
		end
		return type(a) < type(b)
	end)
	local lines = {}
	for _, key in ipairs(keys) do
		lines[#lines + 1] = indent .. "  [" .. show(key) .. "] = " .. show(value[key], indent .. "  ")
	end
	return "{\n" .. table.concat(lines, "\n") .. "\n" .. indent .. "}"
end

print(show({ 1, 2, { "deep", { deeper = true } }, name = "value", [2.5] = "float key", [-1] = false }))

-- A sieve with goto as the continue that Lua does not have.
local composite, primes = {}, {}
for n = 2, 5000 do
	if composite[n] then
		goto continue
	end
	primes[#primes + 1] = n
	for multiple = n * n, 5000, n do
		composite[multiple] = true
	end
	::continue::
end
print(#primes, primes[1], primes[100], primes[#primes])

-- table functions
local list = { 5, 2, 8, 1, 9, 3 }
table.sort(list)
print(table.concat(list, ","), table.unpack(list, 2, 4))
table.sort(list, function(a, b)
	return a > b
end)
table.insert(list, 1, "first")
table.insert(list, "last")
print(table.remove(list, 2), table.remove(list), #list, select("#", table.unpack(list)))
print(table.concat(table.move({ 1, 2, 3 }, 1, 3, 3, { 10, 20 }), " "))
local packed = table.pack(nil, 2, nil)
print(packed.n, packed[2])

-- A million entries and back to none: the heap grows and is collected.
local big = {}
for i = 1, 1000000 do
	big[i] = i ~ (i << 3)
end
local sum = 0
for i = 1, #big do
	sum = sum + big[i]
end
print(#big, sum)
big = nil
collectgarbage()
print(collectgarbage("count") < 4096, collectgarbage("isrunning"))

-- Weak tables lose what nobody else holds, and a finalizer runs.
local weak = setmetatable({}, { __mode = "v" })
weak.gone, weak.held = {}, list
setmetatable(weak.gone, {
	__gc = function()
		print("finalized")
	end,
})
collectgarbage()
print(weak.gone, weak.held == list)
do
	local closing <close> = setmetatable({}, {
		__close = function(_, failure)
			print("closed", failure)
		end,
	})
	local fixed <const> = 7
	print("in the block", fixed)
end
