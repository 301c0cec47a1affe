-- An error that nobody catches: its traceback goes to stderr, and the exit code is 1.

print(#arg, arg[0]:match("[^/]*$"), arg[1], arg[2])

local function deepest(value)
	return value.missing.field + 1
end
local function middle(value)
	local result = deepest(value)
	return result
end
local function called_by_sort(list)
	table.sort(list, function(a, b)
		return middle({ a, b })
	end)
end
called_by_sort({ 3, 2, 1 })
