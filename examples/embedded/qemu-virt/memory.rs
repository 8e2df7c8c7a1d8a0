//! Prints the table of docs/memory.md: what servers and clients of several sizes take on a 32-bit chip, bytes of RAM.

#![no_std]
#![no_main]

use board::{Keys, log};
use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;
use embassy_net::{Stack, StackResources};
use wirelet_embedded::{EmbassyClient, EmbassyClientMemory, EmbassyServer, EmbassyWorker, Error, WebSocket};

#[board::entry]
fn main() -> ! {
    board::run(print)
}

fn print(_: Spawner, _: Stack<'static>, _: Keys) {
    log(format_args!(
        "| | `connections` | `rx` | `tx` | `queue` | `tcp` | statics | tasks | stack | in all |"
    ));
    log(format_args!("|---|---|---|---|---|---|---|---|---|---|"));
    server::<1, 512, 512, 128, 536>();
    server::<2, 1024, 1024, 256, 1460>();
    server::<4, 2048, 2048, 512, 1460>();
    server::<4, 1024, 512, 680, 1460>();
    server::<8, 4096, 4352, 1024, 2920>();
    client::<512, 512, 128, 536>();
    client::<1024, 1024, 256, 1460>();
    client::<4096, 4352, 1024, 2920>();
    board::exit(0)
}

fn server<const N: usize, const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize>() {
    let statics = size_of::<EmbassyServer<N, RX, TX, QUEUE, TCP>>();
    let tasks = N * task(async |mut worker: EmbassyWorker<RX, TX>| worker.run_with(echo::<RX>).await);
    line("server", N, [RX, TX, QUEUE, TCP], statics, tasks);
}

fn client<const RX: usize, const TX: usize, const QUEUE: usize, const TCP: usize>() {
    let statics = size_of::<EmbassyClientMemory<RX, TX, QUEUE, TCP>>();
    let tasks = task(async |(mut client, mut keys): (EmbassyClient<RX, TX>, Keys)| {
        client.run_with(&mut keys, &(), echo::<RX>).await
    });
    line("client", 1, [RX, TX, QUEUE, TCP], statics, tasks);
}

fn line(role: &str, connections: usize, [rx, tx, queue, tcp]: [usize; 4], statics: usize, tasks: usize) {
    // Two more sockets, for DHCP and DNS.
    let (base, each) = (size_of::<StackResources<2>>(), size_of::<StackResources<3>>());
    let stack = base + connections * (each - base);
    let sum = statics + tasks + stack;
    log(format_args!(
        "| {role} | {connections} | {rx} | {tx} | {queue} | {tcp} | {statics} | {tasks} | {stack} | {sum} |"
    ));
}

/// The size of a task in an executor's pool.
fn task<A, F: Future + 'static, T: FnOnce(A) -> F>(_: T) -> usize {
    size_of::<TaskStorage<F>>()
}

/// A handler whose buffer takes the largest message.
async fn echo<const N: usize>(mut ws: WebSocket<'_>) -> Result<(), Error> {
    let mut buffer = [0; N];
    while let Some(message) = ws.recv(&mut buffer).await? {
        ws.send(message).await?;
    }
    Ok(())
}
