io.write("before the exit")
os.exit(42, true)
