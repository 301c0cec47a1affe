//! `ampoule doctor`: can this machine run Ampoule, and how well.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use ampoule::{Doorbell, Floors, Gate, HostError, HostProbe};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::units::human_time;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Exit code: 0 if this machine can run Ampoule, 1 if not.

Examples:
  ampoule doctor
  ampoule doctor --json | jq .floors.exit_ns";

/// Descriptors that a running sandbox takes: its virtual machine and its vCPU.
const DESCRIPTORS_PER_SANDBOX: u64 = 2;
/// The device that all of it hangs on.
const DEVICE: &str = "/dev/kvm";

/// One line of the report.
struct Check {
    name: &'static str,
    ok: bool,
    found: String,
    /// The command that mends it.
    mend: Option<&'static str>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let mut checks = device_checks();
    let probe = HostProbe::get();
    let floors = match &probe {
        Ok(probe) => {
            checks.extend(probe_checks(probe));
            let progress = progress(arguments.json);
            let floors = probe.measure();
            progress.finish_and_clear();
            Some(floors?)
        }
        Err(error) => {
            checks.push(Check { name: "virtual machines", ok: false, found: error.to_string(), mend: mend(error) });
            None
        }
    };
    checks.push(descriptor_check());
    checks.push(landlock_check());
    let able = probe.is_ok();
    if arguments.json {
        println!("{}", json_report(able, &checks, probe.as_ref().ok().copied(), floors.as_ref()));
    } else {
        print_report(able, &checks, floors.as_ref());
    }
    Ok(if able { 0 } else { 1 })
}

fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("measuring the floors of this host");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn device_checks() -> Vec<Check> {
    let Ok(metadata) = std::fs::metadata(DEVICE) else {
        return vec![Check {
            name: "device",
            ok: false,
            found: format!("{DEVICE} does not exist"),
            mend: Some(
                "modprobe kvm_intel || modprobe kvm_amd || modprobe kvm_pvm (in a virtual machine: enable nesting)",
            ),
        }];
    };
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    vec![
        Check {
            name: "device",
            ok: metadata.file_type().is_char_device(),
            found: format!(
                "{DEVICE}, mode {:o}, owner {}:{}",
                metadata.permissions().mode() & 0o777,
                metadata.uid(),
                metadata.gid()
            ),
            mend: None,
        },
        Check {
            name: "permission",
            ok: opened.is_ok(),
            found: match opened {
                Ok(_) => "can be opened for reading and writing".to_owned(),
                Err(error) => error.to_string(),
            },
            mend: Some("sudo usermod -aG kvm \"$USER\", then log in again"),
        },
    ]
}

fn mend(error: &HostError) -> Option<&'static str> {
    match error {
        HostError::MissingCapability { .. } => Some("boot Linux 5.4 or later"),
        HostError::NoGate { .. } => {
            Some("report the output of ampoule doctor --json together with your kernel version")
        }
        _ => None,
    }
}

fn probe_checks(probe: &HostProbe) -> Vec<Check> {
    let mut checks: Vec<_> = probe
        .capabilities()
        .iter()
        .map(|capability| Check {
            name: capability.name,
            ok: capability.value > 0 || !capability.required,
            found: if capability.value > 0 { "present".to_owned() } else { "absent, not needed yet".to_owned() },
            mend: None,
        })
        .collect();
    for step in probe.steps() {
        checks.push(Check {
            name: "probe",
            // A way that does not work here is no fault: the probe looks for one that does.
            ok: true,
            found: match &step.failure {
                None => format!("works: {}", step.question),
                Some(failure) => format!("not here: {} ({failure})", step.question),
            },
            mend: None,
        });
    }
    let features = probe.features();
    let flags = [
        ("nx", features.nx),
        ("smep", features.smep),
        ("smap", features.smap),
        ("umip", features.umip),
        ("xsave", features.xsave),
        ("fsgsbase", features.fsgsbase),
    ];
    let list =
        |wanted: bool| flags.iter().filter(|flag| flag.1 == wanted).map(|flag| flag.0).collect::<Vec<_>>().join(" ");
    checks.push(Check {
        name: "processor",
        ok: true,
        found: format!("guests get: {}; this KVM does not offer: {}", list(true), list(false)),
        mend: None,
    });
    checks.push(Check { name: "system calls", ok: true, found: gate(probe.gate()).to_owned(), mend: None });
    for (doorbell, name) in [(Doorbell::Port, "a port write"), (Doorbell::Hypercall, "a hypercall")] {
        checks.push(Check {
            name: "doorbell",
            // The one that everybody uses must work; the other is there to compare with.
            ok: true,
            found: match probe.doorbell(doorbell) {
                Ok(()) => format!("works: {name}"),
                Err(error) => format!("not here: {name} ({error})"),
            },
            mend: None,
        });
    }
    checks
}

fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Supervisor => "gate at CPL0 (hardware virtualization)",
        Gate::User => {
            "gate at CPL3 (KVM without hardware virtualization: CPL0 is emulated, the program runs at native speed)"
        }
        _ => "a gate that this version of the command does not know",
    }
}

/// The soft limit on open files, from `/proc/self/limits`.
fn descriptor_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn descriptor_check() -> Check {
    const COMFORTABLE: u64 = 256;
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    match descriptor_limit() {
        Some(limit) => {
            let sandboxes = limit.saturating_sub(open) / DESCRIPTORS_PER_SANDBOX;
            Check {
                name: "descriptors",
                ok: sandboxes >= COMFORTABLE,
                found: format!("{limit} allowed: room for about {sandboxes} sandboxes at once, two each"),
                mend: Some("ulimit -n 65536"),
            }
        }
        None => Check { name: "descriptors", ok: true, found: "the limit cannot be read".to_owned(), mend: None },
    }
}

/// What `ampoule run` takes from itself before the program's first instruction.
fn landlock_check() -> Check {
    Check {
        name: "landlock",
        // The program is sealed without it: it is what is left when the seal breaks.
        ok: true,
        found: match ampoule::confine::landlock_version() {
            Some(version) => format!("version {version}: `ampoule run` closes the file system to itself"),
            None => {
                "not here (Linux 5.13 or later, with landlock in lsm=): `ampoule run` confines itself with seccomp only"
                    .to_owned()
            }
        },
        mend: None,
    }
}

fn print_report(able: bool, checks: &[Check], floors: Option<&Floors>) {
    for check in checks {
        let mark = if check.ok { "ok " } else { "NO " };
        println!("{mark} {:<34} {}", check.name, check.found);
        if let Some(mend) = check.mend.filter(|_| !check.ok) {
            println!("    {:<34} mend it with: {mend}", "");
        }
    }
    if let Some(floors) = floors {
        println!("\nfloors of this host (before Ampoule does anything)");
        for (name, time) in [
            ("exit from CPL3 and back", floors.exit),
            ("a virtual machine's life (64 MiB)", floors.vm_life),
            ("the same without its end", floors.vm_creation),
            ("first touch of a page", floors.first_touch),
            ("a 5 ms limit is late by", floors.overshoot),
            ("a posted store", floors.posted_write),
        ] {
            println!("    {name:<34} {}", human_time(time));
        }
        let round_trip = floors.ping_pong.map_or_else(|| "needs two CPUs".to_owned(), human_time);
        println!("    {:<34} {round_trip}", "to another core and back");
    }
    println!("\n{}", if able { "This machine can run Ampoule." } else { "This machine cannot run Ampoule." });
}

fn json_report(able: bool, checks: &[Check], probe: Option<&HostProbe>, floors: Option<&Floors>) -> Value {
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let checks: Vec<_> = checks
        .iter()
        .map(|check| json!({"name": check.name, "ok": check.ok, "found": check.found, "mend": check.mend.filter(|_| !check.ok)}))
        .collect();
    json!({
        "able": able,
        "kernel": kernel(),
        "gate": probe.map(|probe| format!("{:?}", probe.gate()).to_lowercase()),
        "checks": checks,
        "floors": floors.map(|floors| json!({
            "exit_ns": nanos(floors.exit),
            "vm_life_ns": nanos(floors.vm_life),
            "vm_creation_ns": nanos(floors.vm_creation),
            "first_touch_ns": nanos(floors.first_touch),
            "overshoot_ns": nanos(floors.overshoot),
            "posted_write_ns": nanos(floors.posted_write),
            "ping_pong_ns": floors.ping_pong.map(nanos),
        })),
    })
}

fn kernel() -> Option<String> {
    use std::io::Read;
    let mut release = String::new();
    File::open("/proc/sys/kernel/osrelease").ok()?.take(256).read_to_string(&mut release).ok()?;
    Some(release.trim().to_owned())
}
