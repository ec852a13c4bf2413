# For dash. SIGTERM, from us or from the kubelet, ends the recording, which then removes its trace
# buffers; the reports stay until we have read them. After an exec nobody knows the first program of
# a container, so its pid is noted.
cd /reports
capadvise attach --no-tui --json "$1" >reports.json 2>log &
child=$!
echo $child >pid
trap 'kill $child' TERM
while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
cat log >&2
[ $status -le 1 ] || exit $status
touch done
trap 'exit 0' TERM
sleep 2147483647 & wait
