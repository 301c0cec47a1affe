/* Lua as a program: runs the script that is its first argument, with the rest as `arg`; an error's traceback goes to stderr. */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

static int with_traceback(lua_State *lua)
{
	const char *message = luaL_tolstring(lua, 1, NULL);
	luaL_traceback(lua, lua, message, 1);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s SCRIPT [ARGUMENT...]\n", argv[0]);
		return 2;
	}
	lua_State *lua = luaL_newstate();
	if (!lua)
		return 3;
	luaL_openlibs(lua);
	lua_newtable(lua);
	for (int i = 0; i < argc; i++) {
		lua_pushstring(lua, argv[i]);
		lua_rawseti(lua, -2, i - 1);
	}
	lua_setglobal(lua, "arg");

	lua_pushcfunction(lua, with_traceback);
	int failed = luaL_loadfile(lua, argv[1]) != LUA_OK || lua_pcall(lua, 0, 0, 1) != LUA_OK;
	if (failed)
		fprintf(stderr, "%s\n", lua_tostring(lua, -1));
	lua_close(lua);
	return failed;
}
