//! The executor under LibAFL's own fuzzer, observers and feedbacks.

#![allow(missing_docs, reason = "a test has no readers of its interface")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "all of this is tests")]

#[allow(dead_code, reason = "each of the tests uses a part")]
mod support;

use std::path::Path;
use std::time::Duration;

use ampoule::fuzz::Harness;
use ampoule::{CancelToken, Limits, Program};
use ampoule_libafl::{
    AmpouleExecutor, BatchedStage, CrashObserver, CrashReport, EdgesObserver, NewCrashFeedback, edges_observer,
};
use libafl::prelude::*;
use libafl_bolts::HasLen as _;
use libafl_bolts::rands::StdRand;
use libafl_bolts::tuples::{Handle, Handled as _, MatchNameRef as _, Merge as _, tuple_list, tuple_list_type};
use support::{builder, harness};

type Observers = tuple_list_type!(EdgesObserver, CrashObserver);
type State = StdState<InMemoryCorpus<BytesInput>, BytesInput, StdRand, InMemoryCorpus<BytesInput>>;

/// An executor alone, without a fuzzer's loop.
struct Alone {
    executor: AmpouleExecutor<EdgesObserver, Observers>,
    edges: Handle<EdgesObserver>,
    crash: Handle<CrashObserver>,
    state: State,
}

impl Alone {
    fn new(harness: Harness) -> Self {
        let (edges, crash) = (edges_observer(&harness), CrashObserver::new());
        let handles = (edges.handle(), crash.handle());
        let observers = tuple_list!(edges, crash);
        let executor = AmpouleExecutor::new(harness, handles.0.clone(), observers).expect("an executor");
        let state = State::new(
            StdRand::with_seed(0),
            InMemoryCorpus::new(),
            InMemoryCorpus::new(),
            &mut ConstFeedback::new(false),
            &mut ConstFeedback::new(false),
        );
        Self { executor, edges: handles.0, crash: handles.1, state: state.expect("a state") }
    }

    /// As the fuzzer does it: the observers before and after.
    fn run(&mut self, input: &[u8]) -> Result<ExitKind, Error> {
        let input = BytesInput::new(input.to_vec());
        let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), ConstFeedback::new(false), ConstFeedback::new(false));
        let Self { executor, state, .. } = self;
        executor.observers_mut().pre_exec_all(state, &input)?;
        let kind = executor.run_target(&mut fuzzer, state, &mut NopEventManager::new(), &input)?;
        executor.observers_mut().post_exec_all(state, &input, &kind)?;
        Ok(kind)
    }

    fn kind(&mut self, input: &[u8]) -> ExitKind {
        self.run(input).expect("the host is well")
    }

    fn counters(&self) -> Vec<u8> {
        MapObserver::to_vec(self.executor.observers().get(&self.edges).expect("the edges"))
    }

    fn report(&self) -> Option<CrashReport> {
        self.executor.observers().get(&self.crash).expect("the crashes").last().map(CrashReport::of)
    }
}

#[test]
fn every_verdict_is_an_exit_kind_and_the_next_input_does_not_notice() {
    let limits = Limits::new().memory(16 << 20);
    let harness = builder("verdicts").limits(limits).timeout(Duration::from_secs(2)).build();
    let mut alone = Alone::new(harness.expect("a harness"));
    for (input, kind) in [
        ("h", ExitKind::Timeout),
        ("m", ExitKind::Oom),
        ("t", ExitKind::Oom),
        ("s", ExitKind::Crash),
        ("a", ExitKind::Crash),
        ("j", ExitKind::Crash),
        ("w", ExitKind::Crash),
        ("d", ExitKind::Crash),
        ("e", ExitKind::Crash),
        ("n", ExitKind::Crash),
        ("i", ExitKind::Crash),
        ("u", ExitKind::Crash),
        ("c", ExitKind::Crash),
    ] {
        assert_eq!(alone.kind(input.as_bytes()), kind, "{input}");
        assert_eq!(alone.report().is_some(), kind == ExitKind::Crash, "{input}");
        assert_eq!(alone.kind(b"r"), ExitKind::Ok, "after {input}");
        assert_eq!(alone.report(), None, "after {input}");
    }
    assert_eq!(*alone.state.executions(), 26);
}

#[test]
fn a_cancelled_harness_shuts_the_fuzzer_down_and_is_no_verdict() {
    let token = CancelToken::new();
    let mut alone = Alone::new(builder("verdicts").cancel(&token).build().expect("a harness"));
    assert_eq!(alone.kind(b"r"), ExitKind::Ok);
    token.cancel();
    assert!(matches!(alone.run(b"r"), Err(Error::ShuttingDown)));
}

#[test]
fn an_input_that_is_too_long_reaches_nothing() {
    let mut alone = Alone::new(harness("parser"));
    let long = vec![0; alone.executor.harness().max_input() + 1];
    assert_eq!(alone.kind(b"AMPL\x01"), ExitKind::Ok);
    assert!(alone.counters().iter().any(|&count| count > 0));
    assert_eq!(alone.kind(&long), ExitKind::Ok);
    assert!(alone.counters().iter().all(|&count| count == 0));
}

#[test]
fn the_timeout_is_the_harnesses_and_can_be_set() {
    let mut executor =
        Alone::new(builder("verdicts").timeout(Duration::from_millis(70)).build().expect("a harness")).executor;
    assert_eq!(executor.timeout(), Duration::from_millis(70));
    executor.set_timeout(Duration::from_millis(5));
    assert_eq!(executor.timeout(), Duration::from_millis(5));
    assert_eq!(executor.harness().timeout(), Duration::from_millis(5));
}

#[test]
fn the_map_has_one_entry_for_each_edge_and_each_runs_counters() {
    let mut alone = Alone::new(harness("parser"));
    let mut beside = harness("parser");
    assert!(!beside.edges().is_empty());
    for input in [&b"AMPL\x01n\x0212"[..], b"", b"AMPL\x01#\x00#\x00#\x00", b"AMPL\x02"] {
        alone.kind(input);
        beside.run(input).expect("the host is well");
        assert_eq!(alone.counters().len(), beside.edges().len());
        assert_eq!(alone.counters(), beside.counters());
    }
}

#[test]
fn a_map_of_another_length_or_of_another_executor_is_refused() {
    let (short, crash) = (StdMapObserver::owned("edges", vec![0_u8; 3]), CrashObserver::new());
    let handle = short.handle();
    let refused = AmpouleExecutor::new(harness("parser"), handle.clone(), tuple_list!(short, crash));
    assert!(refused.expect_err("three entries").to_string().contains("`edges` has 3 entries"));
    let refused = AmpouleExecutor::new(harness("parser"), handle, tuple_list!(CrashObserver::new()));
    assert!(refused.expect_err("no map").to_string().contains("`edges` is none of the observers"));
}

#[test]
fn a_target_without_counters_has_a_map_without_entries() {
    let program = Program::from_bytes(support::plain_image("verdicts")).expect("a static program");
    let mut alone = Alone::new(Harness::builder(&program).build().expect("a harness"));
    assert_eq!(alone.kind(b"a"), ExitKind::Crash);
    assert!(alone.counters().is_empty());
}

#[test]
fn classes_of_counts_and_tracked_indices_work_over_the_map() {
    let harness = harness("parser");
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let handle = edges.handle();
    let mut executor = AmpouleExecutor::new(harness, handle.clone(), tuple_list!(edges)).expect("an executor");
    let mut state = NopState::<BytesInput>::new();
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), ConstFeedback::new(false), ConstFeedback::new(false));
    // Twenty chunks: some edge is taken twenty times, whose class is 32.
    let input = BytesInput::new([&b"AMPL\x01"[..], &b"#\x00".repeat(20)].concat());
    executor.observers_mut().pre_exec_all(&mut state, &input).expect("observers");
    let kind = executor.run_target(&mut fuzzer, &mut state, &mut NopEventManager::new(), &input).expect("a run");
    assert!(executor.harness().counters().contains(&20));
    executor.observers_mut().post_exec_all(&mut state, &input, &kind).expect("observers");
    let observers = executor.observers();
    let map = observers.get(&handle).expect("the edges").as_ref();
    assert_eq!(map.len(), executor.harness().edges().len());
    let counters = MapObserver::to_vec(map);
    assert!(counters.contains(&32) && counters.iter().all(|count| count.count_ones() <= 1), "{counters:?}");
}

/// The signals that this process has handlers for.
fn handled_signals() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let lines = status.lines().filter(|line| line.starts_with("SigCgt") || line.starts_with("SigIgn"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_signal_handler_is_installed() {
    let before = handled_signals();
    let mut alone = Alone::new(builder("verdicts").timeout(Duration::from_millis(10)).build().expect("a harness"));
    for (input, kind) in [(b"h", ExitKind::Timeout), (b"n", ExitKind::Crash), (b"a", ExitKind::Crash)] {
        assert_eq!(alone.kind(input), kind);
        assert_eq!(handled_signals(), before);
    }
    drop(alone);
    assert_eq!(handled_signals(), before);
}

/// What a campaign over the parser came to.
struct Campaign {
    executions: u64,
    corpus: Vec<Vec<u8>>,
    solutions: Vec<(Vec<u8>, CrashReport)>,
}

/// Fuzzes the parser from one input, with a dictionary of its first word and one of its chunks, until `is_done` or for so many executions.
fn fuzz_parser(seed: u64, first: &[u8], most: u64, reports: &Path, is_done: impl Fn(&State) -> bool) -> Campaign {
    let harness = harness("parser");
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let crash = CrashObserver::new();
    let mut feedback = feedback_and_fast!(feedback_not!(CrashFeedback::new()), MaxMapFeedback::new(&edges));
    let mut objective = NewCrashFeedback::new(&crash).with_reports(reports);
    let corpora = (InMemoryCorpus::new(), InMemoryCorpus::new());
    let state = State::new(StdRand::with_seed(seed), corpora.0, corpora.1, &mut feedback, &mut objective);
    let mut state = state.expect("a state");
    state.set_max_size(64);
    let mut dictionary = Tokens::new();
    dictionary.add_tokens([b"AMPL\x01".to_vec(), b"s\x04".to_vec()]);
    state.add_metadata(dictionary);
    let scheduler = IndexesLenTimeMinimizerScheduler::new(&edges, QueueScheduler::new());
    let mut fuzzer = StdFuzzer::new(scheduler, feedback, objective);
    let mut manager = NopEventManager::new();
    let executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges, crash)).expect("an executor");
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
    fuzzer.add_input(&mut state, &mut executor, &mut manager, BytesInput::from(first)).expect("the first input");
    while !is_done(&state) && *state.executions() < most {
        fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).expect("the host is well");
    }
    let solutions = state.solutions().ids().map(|id| {
        let testcase = state.solutions().get(id).expect("a testcase").borrow();
        (bytes(&testcase), testcase.metadata::<CrashReport>().expect("a report").clone())
    });
    let corpus = state.corpus().ids().map(|id| bytes(&state.corpus().get(id).expect("a testcase").borrow()));
    Campaign { executions: *state.executions(), corpus: corpus.collect(), solutions: solutions.collect() }
}

fn bytes(testcase: &Testcase<BytesInput>) -> Vec<u8> {
    testcase.input().as_ref().expect("an input").mutator_bytes().to_vec()
}

fn has_solution(state: &State) -> bool {
    state.solutions().count() > 0
}

#[test]
fn a_planted_bug_is_found_from_eight_zeros_and_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let campaign = fuzz_parser(6, &[0; 8], 30_000, directory.path(), has_solution);
    println!("{} executions, {} testcases", campaign.executions, campaign.corpus.len());
    let (input, report) = campaign.solutions.first().expect("the bug");
    assert!(input.windows(4).any(|bytes| bytes == b"FUZZ"), "{input:?}");
    assert!(
        report.key.starts_with("SIGABRT in parse_") && report.key.contains(" < LLVMFuzzerTestOneInput"),
        "{}",
        report.key
    );
    assert!(report.text.starts_with("crash: ") && report.text.contains("backtrace"), "{}", report.text);
    let name = format!("{}.report.txt", BytesInput::new(input.clone()).generate_name(None));
    assert_eq!(std::fs::read_to_string(directory.path().join(name)).expect("the report"), report.text);
}

#[test]
fn the_same_seed_finds_the_same_in_as_many_executions() {
    let directory = tempfile::tempdir().expect("a directory");
    let [first, second] = [(); 2].map(|()| fuzz_parser(3, &[0; 8], 5_000, directory.path(), |_| false));
    assert_eq!((first.executions, first.corpus), (second.executions, second.corpus));
    assert_eq!(first.solutions, second.solutions);
}

#[test]
fn a_word_of_four_bytes_is_taken_from_the_comparisons() {
    let directory = tempfile::tempdir().expect("a directory");
    let word = 0xfeed_c0de_u32.to_le_bytes();
    let has_word = |input: &[u8]| input.windows(4).any(|bytes| bytes == word);
    let found = |state: &State| {
        state.corpus().ids().any(|id| has_word(&bytes(&state.corpus().get(id).expect("a testcase").borrow())))
    };
    let campaign = fuzz_parser(1, b"AMPL\x01m\x04ABCD", 20_000, directory.path(), found);
    println!("{} executions", campaign.executions);
    assert!(campaign.corpus.iter().any(|input| has_word(input)));
}

#[test]
fn comparisons_are_read_when_they_are_asked_for_and_for_that_run_alone() {
    let mut alone = Alone::new(harness("parser"));
    let input = b"AMPL\x01m\x04ABCD";
    alone.kind(input);
    assert!(alone.state.metadata::<CmpValuesMetadata>().is_err());
    let mut observer = alone.executor.comparisons_observer();
    let asked = BytesInput::from(&input[..]);
    observer.pre_exec(&mut alone.state, &asked).expect("an observer");
    let kind = alone.kind(input);
    observer.post_exec(&mut alone.state, &asked, &kind).expect("an observer");
    let values = |state: &State| state.metadata::<CmpValuesMetadata>().expect("comparisons").list.clone();
    let wanted = CmpValues::U32((0xfeed_c0de, u32::from_le_bytes(*b"ABCD"), true));
    assert!(values(&alone.state).contains(&wanted), "{:?}", values(&alone.state));
    // Nobody asks for the next.
    alone.kind(b"AMPL\x01");
    observer.post_exec(&mut alone.state, &asked, &kind).expect("an observer");
    assert!(values(&alone.state).is_empty());
}

#[test]
fn crashes_of_one_place_are_one_solution_and_of_others_more() {
    let harness = builder("verdicts").build().expect("a harness");
    let (edges, crash) = (edges_observer(&harness), CrashObserver::new());
    let mut objective = NewCrashFeedback::new(&crash);
    let corpora = (InMemoryCorpus::new(), InMemoryCorpus::new());
    let state = State::new(StdRand::with_seed(0), corpora.0, corpora.1, &mut ConstFeedback::new(false), &mut objective);
    let mut state = state.expect("a state");
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), ConstFeedback::new(false), objective);
    let mut executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges, crash)).expect("an executor");
    for input in ["a", "a1", "d", "d2", "n", "r", "a2", "n1"] {
        let input = BytesInput::from(input.as_bytes());
        fuzzer.evaluate_input(&mut state, &mut executor, &mut NopEventManager::new(), &input).expect("a run");
    }
    let keys: Vec<String> = state
        .solutions()
        .ids()
        .map(|id| {
            state
                .solutions()
                .get(id)
                .expect("a testcase")
                .borrow()
                .metadata::<CrashReport>()
                .expect("a report")
                .key
                .clone()
        })
        .collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(
        keys[0].starts_with("SIGABRT") && keys[1].starts_with("SIGFPE") && keys[2].starts_with("SIGSEGV"),
        "{keys:?}"
    );
}

#[test]
fn a_batch_of_mutants_is_evaluated_as_single_ones_are() {
    let harness = builder("parser").build().expect("a harness");
    let edges = HitcountsMapObserver::new(edges_observer(&harness)).track_indices();
    let handle = edges.handle();
    let crash = CrashObserver::new();
    let mut feedback = feedback_and_fast!(feedback_not!(CrashFeedback::new()), MaxMapFeedback::new(&edges));
    let mut objective = NewCrashFeedback::new(&crash);
    let corpora = (InMemoryCorpus::new(), InMemoryCorpus::new());
    let state = State::new(StdRand::with_seed(5), corpora.0, corpora.1, &mut feedback, &mut objective);
    let mut state = state.expect("a state");
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), feedback, objective);
    let mut manager = NopEventManager::new();
    let observers = tuple_list!(edges, crash);
    let executor = AmpouleExecutor::new(harness, handle.clone(), observers).expect("an executor");
    let mut executor = ShadowExecutor::new(executor, tuple_list!());
    // One mutation away from the bug: some mutants crash, most do not.
    let first = BytesInput::from(&b"AMPL\x01s\x04FUZY"[..]);
    fuzzer.add_input(&mut state, &mut executor, &mut manager, first).expect("the first input");
    let mut stages = tuple_list!(BatchedStage::new(HavocScheduledMutator::new(havoc_mutations())));
    while state.solutions().count() == 0 && *state.executions() < 100_000 {
        fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).expect("the host is well");
    }
    assert_eq!(state.solutions().count(), 1, "after {} executions", state.executions());
    println!("{} executions, {} testcases", state.executions(), state.corpus().count());
    // What a testcase was kept for is what it does alone.
    let mut beside = support::harness("parser");
    for id in state.corpus().ids() {
        let testcase = state.corpus().get(id).expect("a testcase").borrow();
        beside.run(&bytes(&testcase)).expect("the host is well");
        let taken = beside.counters().iter().enumerate().filter(|(_, count)| **count > 0);
        let indexes = testcase.metadata::<MapIndexesMetadata>().expect("indices");
        assert_eq!(indexes.list, taken.map(|(index, _)| index).collect::<Vec<_>>());
    }
}

#[test]
fn a_host_that_ends_a_batch_ends_the_stage() {
    let token = CancelToken::new();
    let harness = builder("parser").cancel(&token).build().expect("a harness");
    let edges = edges_observer(&harness);
    let mut nothing = ConstFeedback::new(false);
    let corpora = (InMemoryCorpus::new(), InMemoryCorpus::new());
    let state = State::new(StdRand::with_seed(0), corpora.0, corpora.1, &mut nothing, &mut ConstFeedback::new(false));
    let mut state = state.expect("a state");
    let mut fuzzer = StdFuzzer::new(QueueScheduler::new(), nothing, ConstFeedback::new(false));
    let mut manager = NopEventManager::new();
    let mut executor = AmpouleExecutor::new(harness, edges.handle(), tuple_list!(edges)).expect("an executor");
    fuzzer.add_input(&mut state, &mut executor, &mut manager, BytesInput::new(vec![1])).expect("the first input");
    let mut stages = tuple_list!(BatchedStage::new(HavocScheduledMutator::new(havoc_mutations())));
    fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager).expect("the host is well");
    let executions = *state.executions();
    assert!(executions > 1);
    token.cancel();
    let ended = fuzzer.fuzz_one(&mut stages, &mut executor, &mut state, &mut manager);
    assert!(matches!(ended, Err(Error::ShuttingDown)), "{ended:?}");
    assert_eq!(*state.executions(), executions);
}
