//! A crash's report as metadata of its testcase.
#![allow(
    unsafe_code,
    reason = "LibAFL registers types of metadata by a macro that declares an unsafe function; nothing here calls it"
)]
#![allow(missing_docs, reason = "the macro's function")]

use crate::crash::CrashReport;

libafl_bolts::impl_serdeany!(CrashReport);
