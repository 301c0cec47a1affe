-- Closures, variable arguments, tail calls, environments, and errors that are caught.

local function counter(start, step)
	local value = start
	return function()
		value = value + step
		return value
	end, function()
		return value
	end
end
local next_value, peek = counter(10, 5)
print(next_value(), next_value(), peek())

local functions = {}
for i = 1, 3 do
	functions[i] = function()
		i = i * 10
		return i
	end
end
print(functions[1](), functions[1](), functions[2](), functions[3]())

local function compose(...)
	local stages = { ... }
	return function(...)
		local values = table.pack(...)
		for _, stage in ipairs(stages) do
			values = table.pack(stage(table.unpack(values, 1, values.n)))
		end
		return table.unpack(values, 1, values.n)
	end
end
print(compose(math.floor, function(x)
	return x, x * x
end, function(a, b)
	return a + b, b - a
end)(7.9))

-- A million tail calls need no stack.
local function down(n)
	if n == 0 then
		return "bottom"
	end
	return down(n - 1)
end
print(down(1000000))

-- Recursion without end is an error, not a crash.
local function endless(n)
	return 1 + endless(n + 1)
end
local ok, message = pcall(endless, 1)
print(ok, message:match("stack overflow"))

print(pcall(error, { code = 7 }), select(2, pcall(error, "plain", 0)), select(2, pcall(error)))
print(xpcall(function()
	local nothing
	return nothing.field
end, function(failure)
	return "handled: " .. failure:gsub("^.*values?.lua:", "")
end) == false)
print(select(2, pcall(function()
	return 1 < "2"
end)):match(":%d+: (.*)"))
print(select(2, pcall(string.rep)):match("bad argument.*"))
print(assert(1 == 1, "unused"), select(2, pcall(assert, false, "asserted")), select(2, pcall(assert, nil)))

local sandbox = { print = print, tostring = tostring }
local chunk = load("x = (x or 0) + 1; print('in the sandbox', x, tostring(os))", "chunk", "t", sandbox)
chunk()
chunk()
print(sandbox.x, x, load("syntax error here"))
local dumped = string.dump(function(a, b)
	return a * b + 1
end)
print(load(dumped, "dumped", "b")(6, 7))
print(debug.getinfo(counter, "S").short_src:match("[^/]*$"), debug.getinfo(1, "l").currentline)
