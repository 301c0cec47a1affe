//! Serving: one exit answers a call and waits for the next.

use core::fmt;

use ampoule_kernel::call::{OUTCOME_BAD_ARGUMENTS, OUTCOME_NONE, OUTCOME_PANICKED, OUTCOME_RETURNED};

use crate::attach::attach_by;
use crate::describe::{leave, leave_unattached};
use crate::errno::Errno;
use crate::gate::{self, Next};
use crate::input::Input;
use crate::reply::Reply;
use crate::ring::{self, Served};
use crate::table::{EXPORTS, Export, Failure};

/// Room that the first arguments find: fetching what is longer costs a second exit.
#[cfg(feature = "alloc")]
const FIRST_BYTES: usize = 64 << 10;

/// Serves the exports, for the rest of the program's life.
///
/// Outside Ampoule it prints what the program exports and imports, and exits with status 2. It does so too, with the reason, if the host refuses
/// the guest.
#[cfg(feature = "alloc")]
pub fn serve() -> ! {
    let mut reply = Reply::new();
    if let Err(error) = attach_by(&mut reply) {
        leave_unattached(&error, &mut reply);
    }
    run(Input::Growing(alloc::vec![0; FIRST_BYTES]), reply)
}

/// [`serve()`] without an allocator: the arguments of a call have to fit into `input`, its reply into `reply`, and the table of functions into
/// either, as with [`attach_with`](crate::attach_with).
pub fn serve_with(input: &mut [u8], reply: &mut [u8]) -> ! {
    let mut reply = Reply::over(reply);
    if let Err(error) = attach_by(&mut Reply::over(input)) {
        leave_unattached(&error, &mut reply);
    }
    run(Input::Fixed(input), reply)
}

fn run(mut input: Input<'_>, mut reply: Reply<'_>) -> ! {
    #[cfg(feature = "std")]
    crate::panics::remember_locations();
    let exports = EXPORTS.static_slice();
    let mut outcome = OUTCOME_NONE;
    reply.clear();
    loop {
        outcome = match gate::next(outcome, reply.as_slice(), input.whole()) {
            Next::Call { ordinal, length } => dispatch(exports, ordinal, input.arrived(length), &mut reply),
            Next::TooLong { ordinal, needed } => match input.room(needed).map(gate::fetch) {
                Some(Ok(length)) => dispatch(exports, ordinal, input.arrived(length), &mut reply),
                Some(Err(errno)) => refused(errno),
                None => no_room(&mut reply, needed),
            },
            Next::Ring(memory) => {
                ring::serve(memory, &mut input, &mut reply, |Served { ordinal, arguments, reply }| match arguments {
                    Ok(arguments) => dispatch(exports, ordinal, arguments, reply),
                    Err(needed) => no_room(reply, needed),
                });
                reply.clear();
                OUTCOME_NONE
            }
            Next::Refused(errno) => refused(errno),
        };
    }
}

#[cold]
fn refused(errno: Errno) -> ! {
    leave(format_args!("the host does not want this guest to serve any more ({errno})"))
}

#[cold]
fn no_room(reply: &mut Reply<'_>, needed: usize) -> u64 {
    fail(reply, format_args!("there is no room for arguments of {needed} bytes"), "")
}

/// Calls an export; returns the outcome.
#[inline]
fn dispatch(exports: &[Export], ordinal: u64, arguments: &[u8], reply: &mut Reply<'_>) -> u64 {
    reply.clear();
    let Some(export) = usize::try_from(ordinal).ok().and_then(|ordinal| exports.get(ordinal)) else {
        return fail(reply, format_args!("there is no export {ordinal}"), "");
    };
    #[cfg(feature = "std")]
    let result = match crate::panics::catch(|| (export.call)(arguments, reply)) {
        Ok(result) => result,
        Err(panicked) => return fail(reply, format_args!("{}", panicked.message), &panicked.location),
    };
    #[cfg(not(feature = "std"))]
    let result = (export.call)(arguments, reply);
    match (result, reply.missing()) {
        (Err(Failure::BadArguments), _) => {
            reply.clear();
            OUTCOME_BAD_ARGUMENTS
        }
        (_, missing @ 1..) => fail(reply, format_args!("there is no room for {missing} more bytes of the reply"), ""),
        (Err(Failure::Result(error)), 0) => fail(reply, format_args!("the result cannot be encoded: {error}"), ""),
        (Ok(()), 0) => OUTCOME_RETURNED,
    }
}

/// Makes the reply of a call that has no result.
#[cold]
fn fail(reply: &mut Reply<'_>, message: fmt::Arguments<'_>, location: &str) -> u64 {
    /// A NUL byte ends the message, so it cannot be part of it.
    struct Message<'r, 'a>(&'r mut Reply<'a>);

    impl fmt::Write for Message<'_, '_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.split_inclusive('\0').for_each(|part| match part.strip_suffix('\0') {
                Some(before) => {
                    self.0.append_text(before);
                    self.0.append_text("\u{fffd}");
                }
                None => self.0.append_text(part),
            });
            Ok(())
        }
    }

    reply.clear();
    // It takes what fits.
    let _ = fmt::write(&mut Message(reply), message);
    reply.push(0);
    reply.append_text(location);
    OUTCOME_PANICKED
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use ampoule_kernel::note::Shape;

    use super::*;

    fn double(arguments: &[u8], reply: &mut Reply<'_>) -> Result<(), Failure> {
        let (number,): (u32,) = crate::private::decode(arguments)?;
        assert!(number != 7, "not\0seven");
        crate::private::encode(reply, &(number * 2))
    }

    fn served(arguments: &[u8], reply: &mut Reply<'_>) -> u64 {
        crate::panics::remember_locations();
        dispatch(&[Export::new("double", Shape::Bytes, double)], 0, arguments, reply)
    }

    #[test]
    fn a_call_is_answered_with_the_encoded_result() {
        let mut reply = Reply::new();
        reply.extend_from_slice(b"of the call before");
        assert_eq!((served(&[21], &mut reply), reply.as_slice()), (OUTCOME_RETURNED, &[42][..]));
    }

    #[test]
    fn arguments_that_are_short_or_have_something_behind_them_are_bad() {
        for arguments in [&[][..], &[0x80], &[21, 0]] {
            let mut reply = Reply::new();
            assert_eq!((served(arguments, &mut reply), reply.as_slice()), (OUTCOME_BAD_ARGUMENTS, &[][..]));
        }
    }

    #[test]
    fn a_panic_is_answered_with_its_message_and_its_location() {
        let mut reply = Reply::new();
        assert_eq!(served(&[7], &mut reply), OUTCOME_PANICKED);
        let text = str::from_utf8(reply.as_slice()).unwrap();
        let (message, location) = text.split_once('\0').unwrap();
        assert_eq!(message, "not\u{fffd}seven");
        assert!(location.starts_with(file!()), "{location}");
        assert_eq!(served(&[21], &mut reply), OUTCOME_RETURNED, "the guest can be called again");
    }

    #[test]
    fn what_the_host_made_up_is_answered_and_not_believed() {
        let mut reply = Reply::new();
        assert_eq!(dispatch(&[], u64::MAX - 1, &[], &mut reply), OUTCOME_PANICKED);
        assert_eq!(reply.as_slice(), b"there is no export 18446744073709551614\0");
    }

    #[test]
    fn a_reply_that_does_not_fit_fails_the_call_and_says_so() {
        fn long(_: &[u8], reply: &mut Reply<'_>) -> Result<(), Failure> {
            crate::private::encode(reply, &[1_u8; 100][..])
        }
        let mut buffer = [0; 64];
        let mut reply = Reply::over(&mut buffer);
        let outcome = dispatch(&[Export::new("long", Shape::Bytes, long)], 0, &[], &mut reply);
        assert_eq!(outcome, OUTCOME_PANICKED);
        assert!(reply.as_slice().starts_with(b"there is no room for"));
    }
}
