//! Run untrusted machine code in microVMs: as easy as [`std::process::Command`], as fast as a function call, sealed.
//!
//! A [`Program`] is an ordinary static Linux x86-64 ELF that knows nothing of Ampoule. A [`Command`] runs it in a virtual machine of its
//! own over `/dev/kvm`, with limits: nothing of the host is there but what was handed over, and whatever the program does, its run has an
//! [`End`].
//!
//! ```no_run
//! use std::time::Duration;
//! use ampoule::{Call, Command, End, Limit, Limits, Program, Stdio};
//!
//! let program = Program::from_file("jq")?;
//! let output = Command::new(&program)
//!     .arg(".name")
//!     .stdin(Stdio::bytes(r#"{"name": "ampoule"}"#))
//!     .limits(Limits::new().memory(64 << 20))
//!     .call(Call::new().wall(Duration::from_millis(200)).cpu(Duration::from_millis(100)))
//!     .output()?;
//! match output.end {
//!     End::Exited(0) => println!("{}", String::from_utf8_lossy(&output.stdout)),
//!     End::Limit(Limit::Wall) => eprintln!("too slow; so far it printed {} bytes", output.stdout.len()),
//!     End::Trap(trap) => eprintln!("{trap}"),
//!     other => eprintln!("{other}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is where
//! - [`Program`]: bytes, parsed and validated. Needs no KVM.
//! - [`Command`], [`Stdio`], [`Child`], [`Output`]: running it.
//! - [`HostDir`]: a directory of the host's that it may use.
//! - [`Limits`] (of a machine), [`Call`] (of a run), [`CancelToken`].
//! - [`Sources`]: where time and randomness come from.
//! - [`End`], [`Trap`], [`Site`], [`Stats`]: how it ended, why, where, and what it cost.
//! - [`Sandbox`], [`Func`], [`Imports`], [`Live`]: calling into a program that links the SDK.
//! - [`Snapshot`], [`Pool`]: a running guest's state to go back to, and sandboxes that are ready in it.
//! - [`HostProbe`]: what this host can do; [`set_max_idle_machines`]: how many virtual machines are kept for the next run;
//!   [`set_memory_budget`]: how much memory all guests may have together.
//! - `backtrace` (a feature): `Report`, which tells what a crash was by functions, lines and instructions.
//! - `confine` (a feature): takes from this process what running guests does not need.
//!
//! Types that cross a call derive `Serialize`, `Deserialize` and [`Schema`](derive@Schema). In a crate that host and guest share, derive
//! `ampoule_guest::Schema`: it is the same trait.
//!
//! Imports inside the crate point one way: `vm` (the only place with `unsafe` and the only one that talks to KVM) ← `program` ←
//! `machine` ← `linux` ← `sandbox` ← `command` ← `snapshot` ← `pool`.
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("ampoule runs on Linux x86-64 only: its guests are x86-64 programs and its virtual machines are KVM's");

#[cfg(feature = "backtrace")]
mod backtrace;
mod channel;
mod child;
mod command;
#[cfg(feature = "confine")]
pub mod confine;
mod end;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod linux;
mod machine;
mod pool;
mod program;
mod sandbox;
mod shard;
mod signal;
mod site;
mod snapshot;
mod stats;
mod stdio;
mod trap;
mod vm;
mod wire;

pub use ampoule_kernel::schema::Schema;
pub use ampoule_macros::HostSchema as Schema;
#[cfg(feature = "backtrace")]
pub use backtrace::{Backtrace, Ending, Found, Frame, Instruction, Report};
pub use channel::posted::{Event, Events, Overflow};
pub use channel::table::TableError;
pub use child::Child;
pub use command::{Command, Output, Status};
pub use end::{End, Limit};
pub use error::RunError;
pub use limits::{Call, Limits};
pub use linux::counts::SyscallCount;
pub use linux::files::host::{HostDir, HostDirError};
pub use linux::sources::Sources;
pub use linux::state::StateError;
pub use machine::boot::{Doorbell, Gate};
pub use machine::floors::{Floor, Floors};
pub use machine::probe::{HostProbe, ProbeStep};
pub use machine::shells::{idle_machines, memory_budget, memory_in_use, set_max_idle_machines, set_memory_budget};
pub use pool::{Pool, PoolBuilder, PoolError, PoolStats, Pooled};
pub use program::{
    AbiVersion, ElfField, ElfPart, Function, FunctionKind, Incompatibility, Incompatible, Interface, InterfaceError,
    Kind, NotePlace, Program, ProgramError, ProgramOptions, Protection, Segment, SegmentFault, Signature,
    SignatureError, SignatureFault, Symbol,
};
pub use sandbox::State;
pub use sandbox::builder::SandboxBuilder;
pub use sandbox::context::{Context, MemoryError};
pub use sandbox::error::{CallError, FuncError, ProtocolError, SandboxError};
pub use sandbox::func::Func;
pub use sandbox::imports::Imports;
pub use sandbox::instance::Sandbox;
pub use sandbox::live::{Idle, Live, LiveStats};
pub use sandbox::log::{LogLevel, LogRecord};
pub use sandbox::region::Region;
pub use signal::Signal;
pub use site::{Mapping, MappingKind, Site, Surroundings};
pub use snapshot::{Snapshot, SnapshotError, SnapshotFileError, SnapshotOptions, SpawnBuilder, Stopped};
pub use stats::Stats;
pub use stdio::Stdio;
pub use trap::{Trap, TrapCause, TrapMeaning, TrapRegisters};
pub use vm::cancel::CancelToken;
pub use vm::device::{Capability, Features};
pub use vm::error::{HostError, ProbeFailure};
pub use vm::exit::ExitKind;
pub use vm::kick::{NotARealTimeSignal, set_kick_signal};
pub use vm::seam::HostCall;
pub use wire::WireError;

/// What the code that macros make refers to.
#[doc(hidden)]
pub mod __private {
    pub use ampoule_kernel::schema;
}

/// The README's tour, so that its code is tested.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
