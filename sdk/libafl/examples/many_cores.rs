//! A fuzzer on many cores: LibAFL's launcher, with a broker and a client on each core that exchange what they find over loopback.
//!
//! ```text
//! cargo run --release -p ampoule-libafl --example many_cores -- TARGET OUT 0-3 1337 0 [DICTIONARY]
//!                                                                  │      │   │   │    └ executions of each client, 0 for no end
//!                                                                  │      │   │   └ the broker's port
//!                                                                  │      │   └ cores
//!                                                                  │      └ crashes and their reports
//!                                                                  └ a static ELF with LLVMFuzzerTestOneInput
//! ```
//!
//! The launcher forks once for each client, and the client once more for the process that fuzzes, so that it can be started again. A virtual machine does
//! not survive a fork: the harness is built inside the client's function.

use std::error::Error;
use std::path::PathBuf;

use ampoule::Program;
use ampoule::fuzz::Harness;
use ampoule_libafl::{AmpouleExecutor, CrashObserver, NewCrashFeedback, edges_observer};
use libafl::prelude::*;
use libafl_bolts::core_affinity::Cores;
use libafl_bolts::rands::StdRand;
use libafl_bolts::shmem::{ShMemProvider as _, StdShMem, StdShMemProvider};
use libafl_bolts::tuples::{Handled as _, Merge as _, tuple_list};

type State = StdState<InMemoryCorpus<BytesInput>, BytesInput, StdRand, OnDiskCorpus<BytesInput>>;
type Manager = LlmpRestartingEventManager<(), BytesInput, State, StdShMem, StdShMemProvider>;

/// What the command line says.
struct Arguments {
    target: PathBuf,
    out: PathBuf,
    cores: Cores,
    port: u16,
    executions: u64,
    dictionary: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    run(std::env::args().skip(1))
}

/// Fuzzes as the arguments say. It returns in the broker and, because they are forks of it, in every client.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let arguments = parse(arguments)?;
    let client = |state: Option<State>, mut manager: Manager, client: ClientDescription| {
        let ended = fuzz(&arguments, state, &mut manager, &client);
        // However it ended: the broker waits for its clients, and one that is gone before the broker has seen its messages is waited for in vain.
        manager.send_exiting()?;
        manager.await_restart_safe();
        ended.map_err(|error| libafl::Error::runtime(format!("client {}: {error}", client.id())))
    };
    // Every client has the same target and the same machine, so that what one has observed need not be run by the others.
    let launched = Launcher::builder()
        .shmem_provider(StdShMemProvider::new()?)
        .configuration(EventConfig::from_name("ampoule"))
        .monitor(SimpleMonitor::new(|line| println!("{line}")))
        .run_client(client)
        .cores(&arguments.cores)
        .broker_port(arguments.port)
        .build()
        .launch();
    match launched {
        Ok(()) | Err(libafl::Error::ShuttingDown) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A client's life: a harness of its own, and a fuzzer over it.
fn fuzz(
    arguments: &Arguments,
    state: Option<State>,
    manager: &mut Manager,
    client: &ClientDescription,
) -> Result<(), Box<dyn Error>> {
    let harness = Harness::builder(&Program::from_file(&arguments.target)?).build()?;
    let longest = harness.max_input().min(4096);
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let crash = CrashObserver::new();

    let mut feedback = feedback_and_fast!(feedback_not!(CrashFeedback::new()), MaxMapFeedback::new(&edges));
    let mut objective = NewCrashFeedback::new(&crash).with_reports(&arguments.out);
    let mut state = match state {
        // The client was started again.
        Some(state) => state,
        None => {
            let rand = StdRand::with_seed(u64::try_from(client.id())?);
            let crashes = OnDiskCorpus::new(&arguments.out)?;
            let mut state = State::new(rand, InMemoryCorpus::new(), crashes, &mut feedback, &mut objective)?;
            state.set_max_size(longest);
            state
        }
    };
    if let Some(dictionary) = &arguments.dictionary {
        state.add_metadata(Tokens::from_file(dictionary)?);
    }
    let scheduler = IndexesLenTimeMinimizerScheduler::new(&edges, QueueScheduler::new());
    let mut fuzzer = StdFuzzer::new(scheduler, feedback, objective);

    let executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges, crash))?;
    let comparisons = executor.comparisons_observer();
    let mut executor = ShadowExecutor::new(executor, tuple_list!(comparisons));
    let mut stages = tuple_list!(
        ShadowTracingStage::new(),
        StdMutationalStage::new(SingleChoiceScheduledMutator::new(tuple_list!(I2SRandReplace::new()))),
        StdMutationalStage::new(HavocScheduledMutator::with_max_stack_pow(
            havoc_mutations().merge(tokens_mutations()),
            4
        )),
    );

    if state.corpus().is_empty() {
        fuzzer.add_input(&mut state, &mut executor, manager, BytesInput::new(vec![0; 8]))?;
    }
    while arguments.executions == 0 || *state.executions() < arguments.executions {
        manager.maybe_report_progress(&mut state, std::time::Duration::from_secs(5))?;
        fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, manager)?;
    }
    let (executions, crashes) = (*state.executions(), state.solutions().count());
    println!("client {}: {executions} executions, {crashes} crashes", client.id());
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut next = |name: &str| arguments.next().ok_or(format!("{name} is missing: TARGET OUT CORES PORT EXECUTIONS"));
    Ok(Arguments {
        target: next("TARGET")?.into(),
        out: next("OUT")?.into(),
        cores: Cores::from_cmdline(&next("CORES")?)?,
        port: next("PORT")?.parse()?,
        executions: next("EXECUTIONS")?.parse()?,
        dictionary: arguments.next().map(PathBuf::from),
    })
}
