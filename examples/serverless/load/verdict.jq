# The figures of a run, what they say together, and which promises are broken; `.text` is the same for people.

# At most so much more is held after all the requests than after the first block. A function finds only by chance that so many of its invocations run at
# once, so a machine, with its two descriptors, can come late, and its memory with it; a thread that had to wait ends ten seconds later. Memory beyond
# that may grow by 16 MiB, which is 84 bytes for each of 200,000 requests.
{ vms: 8, files: 16, threads: 8, rss_kib: (16 * 1024) } as $growth
| 65536 as $machine_kib
# The part of the throughput without a sandbox that is promised.
| 0.5 as $promised

| def median: sort | .[(length / 2) | floor];
def rounded(digits): (. * pow(10; digits) | round) / pow(10; digits);
def pad(width): tostring | . + " " * ([width - length, 1] | max);
def of(kind): map(select(.kind == kind));
def turns($what; $side; $company): of("turn") | map(select(.what == $what and .side == $side and .company == $company));
# Round by round, so that what comes and goes falls on both.
def ratio(these; those): [these, those] | transpose | map(select(all) | .[0] / .[1]) | median;

. as $all
| [("render", "word-count") as $what | ("quiet", "hostile") as $company | ("sandboxed", "baseline") as $side
	| $all | turns($what; $side; $company) | select(length > 0)
	| { $what, $company, $side, requests: (map(.requests) | add) }
		+ ([("rate", "p50", "p99", "p999", "server_us", "wrk_us", "elsewhere") as $figure | { ($figure): (map(.[$figure]) | median) }] | add)
] as $rows
| [("render", "word-count") as $what | select($all | turns($what; "sandboxed"; "hostile") | length > 0)
	| def rates($side; $company): $all | turns($what; $side; $company) | map(.rate);
	def late($company): $all | turns($what; "sandboxed"; $company) | map(.p99);
	{
		$what,
		quiet: ratio(rates("sandboxed"; "quiet"); rates("baseline"; "quiet")),
		hostile: ratio(rates("sandboxed"; "hostile"); rates("baseline"; "quiet")),
		both_hostile: ratio(rates("sandboxed"; "hostile"); rates("baseline"; "hostile")),
		lost: (1 - ratio(rates("sandboxed"; "hostile"); rates("sandboxed"; "quiet"))),
		p99: ratio(late("hostile"); late("quiet"))
	}
] as $ratios
| ($all | of("sample")) as $samples
| ($all | of("neighbour") | group_by(.what) | map({ what: .[0].what, right: (map(.right) | add), wrong: (map(.wrong + .lost) | add) })) as $neighbours
| ($all | of("checked")) as $checked
| ($all | of("report")[0]) as $report
| ($all | [of("turn"), of("checked")] | add | map(select(.lost + .refused + .wrong > 0))) as $failed

| [
	($failed[] | "an honest request failed: \(.what), \(.lost) lost, \(.refused) refused, \(.wrong) wrong: \(.example)"),
	($all | of("neighbour")[] | select(.wrong + .lost > 0 or .right == 0)
		| "\(.what) was not stopped as it should be: \(.right) as it should, \(.wrong) otherwise, \(.lost) lost: \(.example)"),
	($samples[0] as $first | $samples[-1] as $last | ([$last.vms - $first.vms, 0] | max * $machine_kib) as $machines
		| $growth | .rss_kib += $machines | to_entries[]
		| select($last[.key] > $first[.key] + .value) | "\(.key) grew from \($first[.key]) to \($last[.key])"),
	(select($report.before == null or $report.before != $report.after) | "one crash has two reports, or none: \($report)"),
	# Beside the same neighbours: what these take of the machine they take of both.
	(select($short == 0) | $ratios[] | select(.what == "render" and .both_hostile < $promised)
		| "render serves \(.both_hostile | rounded(3)) of what it serves without a sandbox: less than \($promised)"),
	(select($samples[-1].requests < $requests) | "only \($samples[-1].requests) requests were sent")
] as $broken

| ($rows | map(.elsewhere) | max) as $elsewhere
| {
	took_seconds: $took, $cpus, $rows, $ratios, $samples, $neighbours, $report, $elsewhere, $broken,
	text: ([
		((["function", "beside", "sandbox"] | map(pad(12)) | add)
			+ (["requests/s", "p50 µs", "p99 µs", "p99.9 µs", "server µs", "wrk µs"] | map(pad(11)) | add)),
		($rows[] | ([.what, .company, if .side == "sandboxed" then "yes" else "no" end] | map(pad(12)) | add)
			+ ([(.rate | round), .p50, .p99, .p999, (.server_us | rounded(1)), (.wrk_us | rounded(1))] | map(pad(11)) | add)),
		"",
		($ratios[] | "\(.what): with a sandbox ÷ without, both quiet \(.quiet | rounded(3)), only it beside hostile ones \(.hostile | rounded(3))"
			+ (if .both_hostile then ", both \(.both_hostile | rounded(3))" else "" end)
			+ "; these cost it \(.lost * 100 | rounded(1)) % of its throughput, and its p99 is \(.p99 | rounded(2)) times as long"),
		"hostile: " + ($neighbours | map("\(.what) \(.right) times stopped, \(.wrong) otherwise") | join("; ")),
		"checked: \($checked | map(.requests) | add) requests, \($checked | map(.wrong + .lost) | add) failed; one report of \($report.count) crashes",
		"grown, from after the first block to the end: " + ($samples[0] as $first | $samples[-1] as $last
			| ["files", "vms", "threads", "rss_kib", "machines_kib"] | map("\(.) \($first[.]) → \($last[.])") | join(", ")),
		(select($elsewhere > 0.1) | "others took up to \($elsewhere * 100 | round) % of this machine meanwhile: no figure here is better than that"),
		(if $broken == [] then "every promise is kept (\($took) s)" else "broken:", ($broken[] | "  " + .) end)
	] | join("\n"))
}
