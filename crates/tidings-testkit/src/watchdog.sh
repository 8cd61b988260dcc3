# Runs the program with the arguments after the first two, and kills it (SIGKILL
# ends a stopped process too) as soon as something happens on standard input:
#
# * a line: the owner wants the server gone, and keeps the directory;
# * the end of input: the owner itself is gone, however it died. The kernel
#   closes the pipe of a killed process, so this needs no word from the owner.
#   Nobody else will remove the directory, so it goes too.
#
# Prints the server's process id, and exits with the server's exit status.
program=$1
directory=$2
shift 2

# When the owner dies while the server is stopped, the kernel sends SIGHUP to
# this orphaned process group. The server would survive that, this would not.
trap '' HUP

# A background command has no standard input: the lifeline moves to 3 for it.
exec 3<&0 0</dev/null

"$program" "$@" 3<&- >&2 &
server=$!

{
    read -r _ <&3 || rm -rf "$directory"
    kill -KILL "$server"
} &
watcher=$!

echo "$server"
wait "$server"
status=$?

# The server ended by itself: its process id may soon be somebody else's.
kill "$watcher"
exit "$status"
