local module = { name = ... or "run as a file" }
function module.twice(value)
	return value * 2
end
return module
