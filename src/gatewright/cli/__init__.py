"""The command line. It holds no logic: every command is a call that Python code can make too."""
