//! GPU memory outlives its process: one makes and fills it and is killed, a holder without CUDA has
//! its descriptor, others map it and find it as it was. Needs a GPU; `make gpu-test` runs it.
//!
//! usage: `outlive [GIBIBYTES]`; ends with 1 if anything is not as it should be.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::io::{Read, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio, exit};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use zimage_cuda::Memory;
use zimage_ipc::Handover;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const GPU: Device = Device::Cuda(0);
/// Memory in use by this much more or less is the same: others may be at work.
const ABOUT: u64 = 256 << 20;

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let bytes = |text: &str| text.parse::<usize>();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => hold(4 << 30),
        [gibibytes] if gibibytes != "free" => hold(bytes(gibibytes)? << 30),
        ["free"] => {
            zimage_cuda::make_current(0)?;
            println!("{}", zimage_cuda::free_memory(0)?.free);
            Ok(ExitCode::SUCCESS)
        }
        ["create", text] => create(bytes(text)?),
        ["read", text] => read(bytes(text)?),
        ["write", text] => write(bytes(text)?),
        ["protect", text] => protect(bytes(text)?),
        _ => Err("usage: outlive [GIBIBYTES]".into()),
    }
}

/// One line a check; says whether it holds.
fn check(holds: bool, what: &str) -> bool {
    println!("{:5} {what}", if holds { "ok" } else { "WRONG" });
    holds
}

fn ms(since: Instant) -> String {
    format!("{:.1} ms", since.elapsed().as_secs_f64() * 1e3)
}

/// The holder's part, which is the supervisor's: it has descriptors and knows nothing.
fn hold(bytes: usize) -> Result<ExitCode> {
    let mut all = true;
    let before = free()?;
    let (ours, theirs) = Handover::pair()?;
    let mut creator = child("create", bytes, theirs)?;
    let Some(Handover::Weights(held)) = Handover::receive(&ours)? else {
        return Err("the creator offered nothing".into());
    };
    let begun = Instant::now();
    creator.kill()?;
    creator.wait()?;
    all &= check(true, &format!("the creator was killed, and gone after {}", ms(begun)));
    let now = free()?;
    let kept = before.saturating_sub(now).abs_diff(bytes as u64) < ABOUT;
    all &= check(
        kept,
        &format!("its memory is still taken: {} MiB", before.saturating_sub(now) >> 20),
    );
    for role in ["read", "read", "write", "read"] {
        let (ours, theirs) = Handover::pair()?;
        let copies = held.iter().map(OwnedFd::try_clone).collect::<std::io::Result<_>>()?;
        Handover::Weights(copies).send(&ours)?;
        all &= child(role, bytes, theirs)?.wait()?.success();
    }
    drop(held);
    let begun = Instant::now();
    let mut after = free()?;
    while before.saturating_sub(after) > ABOUT && begun.elapsed() < Duration::from_secs(10) {
        after = free()?;
    }
    let freed = before.saturating_sub(after) <= ABOUT;
    all &= check(freed, "it is free once the descriptor is closed");
    let (_ours, theirs) = Handover::pair()?;
    all &= child("protect", bytes, theirs)?.wait()?.success();
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    all &= check(!maps.contains("libcuda.so"), "the holder has no CUDA");
    Ok(ExitCode::from(u8::from(!all)))
}

fn child(role: &str, bytes: usize, channel: OwnedFd) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.arg(role).arg(bytes.to_string()).stdin(Stdio::from(channel)).spawn()?)
}

/// Free bytes of the GPU, as a process that ends right after sees them.
fn free() -> Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.arg("free").stdout(Stdio::piped()).spawn()?;
    let mut text = String::new();
    child.stdout.take().ok_or("no output")?.read_to_string(&mut text)?;
    child.wait()?;
    Ok(text.trim().parse()?)
}

/// Every 8 bytes have their number.
fn fill(memory: &Memory) -> Result<()> {
    let mut words = memory.tensor()?.f_view_dtype(Kind::Int64)?;
    let numbers = Tensor::f_arange(words.size()[0], (Kind::Int64, GPU))?;
    words.f_copy_(&numbers)?;
    tch::Cuda::synchronize(0);
    Ok(())
}

fn is_filled(memory: &Memory) -> Result<bool> {
    let words = memory.tensor()?.f_view_dtype(Kind::Int64)?;
    let count = words.size()[0];
    let places = [0, 1, count / 2, count - 1];
    let right = places.iter().all(|&at| words.get(at).int64_value(&[]) == at);
    Ok(right && sum(memory)? == count * (count - 1) / 2)
}

fn sum(memory: &Memory) -> Result<i64> {
    let words = memory.tensor()?.f_view_dtype(Kind::Int64)?;
    Ok(words.f_sum(Kind::Int64)?.f_int64_value(&[])?)
}

fn create(bytes: usize) -> Result<ExitCode> {
    zimage_cuda::init(0)?;
    let memory = Memory::new(0, bytes)?;
    fill(&memory)?;
    let begun = Instant::now();
    let Some(shared) = memory.share()? else {
        println!("WRONG this driver's memory ends with its process");
        return Ok(ExitCode::FAILURE);
    };
    println!("ok    shared in {}", ms(begun));
    Handover::Weights(vec![shared]).send(stdin())?;
    loop {
        std::thread::park();
    }
}

/// What the holder gave.
fn given() -> Result<OwnedFd> {
    match Handover::receive(stdin())? {
        Some(Handover::Weights(mut given)) => Ok(given.remove(0)),
        _ => Err("the holder gave nothing".into()),
    }
}

fn read(bytes: usize) -> Result<ExitCode> {
    let begun = Instant::now();
    zimage_cuda::init(0)?;
    let context = ms(begun);
    let shared = given()?;
    let begun = Instant::now();
    let memory = Memory::import(0, shared.as_fd(), bytes)?;
    let mapped = ms(begun);
    let begun = Instant::now();
    sum(&memory)?;
    let first = ms(begun);
    let begun = Instant::now();
    sum(&memory)?;
    let what = format!(
        "as it was: context and libtorch {context}, mapped in {mapped}, {} GiB summed in {first}, \
         again in {}",
        bytes >> 30,
        ms(begun)
    );
    let mut all = check(is_filled(&memory)?, &what);
    let more = Memory::import(0, shared.as_fd(), 2 * bytes);
    all &= check(more.is_err(), "more than there is cannot be mapped");
    let file = std::fs::File::open("/dev/null")?;
    all &= check(Memory::import(0, file.as_fd(), bytes).is_err(), "nor can what is no memory");
    all &= check(is_filled(&memory)?, "and that did no harm");
    Ok(ExitCode::from(u8::from(!all)))
}

/// The end of a process that tries to write: the GPU's errors end its context too.
fn refused(memory: &Memory, what: &str) -> Result<ExitCode> {
    let mut bytes = memory.tensor()?;
    let written = bytes.f_fill_(0).and_then(|_| bytes.f_sum(Kind::Int64)?.f_int64_value(&[]));
    let all = check(written.is_err(), what);
    // Nothing of this process's GPU can be used, nor given back.
    exit(i32::from(!all));
}

fn write(bytes: usize) -> Result<ExitCode> {
    zimage_cuda::init(0)?;
    let memory = Memory::import(0, given()?.as_fd(), bytes)?;
    refused(&memory, "who writes there is refused")
}

/// Memory that its own process made read-only.
fn protect(bytes: usize) -> Result<ExitCode> {
    zimage_cuda::init(0)?;
    let memory = Memory::new(0, bytes)?;
    fill(&memory)?;
    let begun = Instant::now();
    if let Err(error) = memory.protect() {
        println!("ok    this driver does not make memory read-only afterwards: {error}");
        return Ok(ExitCode::SUCCESS);
    }
    let protected = ms(begun);
    if !check(is_filled(&memory)?, &format!("made read-only in {protected}, and can be read")) {
        return Ok(ExitCode::FAILURE);
    }
    refused(&memory, "nor does its own process write there any longer")
}
