//! What this machine can do, whoever runs on it: loopback, wake-ups, memory, system calls, disk.

use crate::histogram::Histogram;
use crate::kernel::{self, Poll};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

fn line(name: &str, json: String) {
    println!("{{\"probe\":\"{name}\",{json}}}");
}

fn pair() -> (TcpStream, TcpStream) {
    let l = TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(l.local_addr().unwrap()).unwrap();
    let b = l.accept().unwrap().0;
    a.set_nodelay(true).unwrap();
    b.set_nodelay(true).unwrap();
    (a, b)
}

fn stream(secs: f64, chunk: usize) {
    let (mut a, mut b) = pair();
    let t = std::thread::spawn(move || {
        let mut buf = vec![0u8; 262144];
        let mut n = 0u64;
        let mut calls = 0u64;
        while let Ok(k) = b.read(&mut buf) {
            if k == 0 {
                break;
            }
            n += k as u64;
            calls += 1;
        }
        (n, calls)
    });
    let buf = vec![7u8; chunk];
    let t0 = Instant::now();
    let mut calls = 0u64;
    while t0.elapsed().as_secs_f64() < secs {
        a.write_all(&buf).unwrap();
        calls += 1;
    }
    drop(a);
    let (n, rcalls) = t.join().unwrap();
    let dt = t0.elapsed().as_secs_f64();
    line(
        &format!("loopback_stream_{chunk}"),
        format!(
            "\"GB_s\":{:.3},\"write_calls_s\":{:.0},\"read_calls_s\":{:.0}",
            n as f64 / dt / 1e9,
            calls as f64 / dt,
            rcalls as f64 / dt
        ),
    );
}

/// One writer thread that goes round `n` sockets, one reader thread that drains them all.
fn stream_many(secs: f64, chunk: usize, n: usize) {
    let mut tx = Vec::new();
    let mut rx = Vec::new();
    for _ in 0..n {
        let (a, b) = pair();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        tx.push(a);
        rx.push(b);
    }
    let end = Instant::now() + Duration::from_secs_f64(secs);
    let t = std::thread::spawn(move || {
        let mut ep = Poll::new().unwrap();
        for (i, s) in rx.iter().enumerate() {
            ep.add(s, i as u64).unwrap();
        }
        let mut buf = vec![0u8; 262144];
        let mut got = Vec::new();
        let mut bytes = 0u64;
        while Instant::now() < end {
            ep.wait(10, &mut got).unwrap();
            for one in &got {
                bytes += (&rx[one.key as usize]).read(&mut buf).unwrap_or(0) as u64;
            }
        }
        bytes
    });
    let buf = vec![7u8; chunk];
    let mut calls = 0u64;
    while Instant::now() < end {
        let mut any = false;
        for s in &tx {
            any |= (&mut &*s).write(&buf).is_ok();
            calls += 1;
        }
        if !any {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    let bytes = t.join().unwrap();
    line(
        &format!("loopback_{n}sockets_{chunk}"),
        format!(
            "\"GB_s\":{:.3},\"write_calls_s\":{:.0}",
            bytes as f64 / secs / 1e9,
            calls as f64 / secs
        ),
    );
}

/// Keeps this thread on one core.
fn pin(core: Option<usize>) {
    let Some(core) = core else { return };
    let mut set = nix::sched::CpuSet::new();
    if set.set(core).is_ok() {
        let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
    }
}

fn pingpong(secs: f64, size: usize, place: &str) {
    let (mine, other) = match place {
        "samecore" => (Some(0), Some(0)),
        "twocores" => (Some(0), Some(1)),
        _ => (None, None),
    };
    let place = place.to_string();
    std::thread::spawn(move || pingpong_placed(secs, size, &place, mine, other)).join().unwrap();
}

fn pingpong_placed(secs: f64, size: usize, place: &str, mine: Option<usize>, other: Option<usize>) {
    let (mut a, mut b) = pair();
    pin(mine);
    let t = std::thread::spawn(move || {
        pin(other);
        let mut buf = vec![0u8; size];
        while b.read_exact(&mut buf).is_ok() {
            if b.write_all(&buf).is_err() {
                break;
            }
        }
    });
    let mut buf = vec![1u8; size];
    let mut h = Histogram::new();
    let t0 = Instant::now();
    while t0.elapsed().as_secs_f64() < secs {
        let s = kernel::now_ns();
        a.write_all(&buf).unwrap();
        a.read_exact(&mut buf).unwrap();
        h.add(kernel::now_ns() - s);
    }
    drop(a);
    t.join().unwrap();
    line(
        &format!("loopback_pingpong_{size}_{place}"),
        format!("\"per_s\":{:.0},\"us\":{}", h.count() as f64 / secs, h.report_us().line()),
    );
}

/// The same with both sides polling non-blocking sockets instead of sleeping.
fn spinpong(secs: f64, size: usize) {
    let (a, b) = pair();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    let end = Instant::now() + Duration::from_secs_f64(secs);
    let t = std::thread::spawn(move || {
        let mut buf = vec![0u8; 65536];
        while Instant::now() < end {
            match (&b).read(&mut buf) {
                Ok(n) if n > 0 => {
                    let _ = (&b).write(&buf[..n]);
                }
                _ => std::hint::spin_loop(),
            }
        }
    });
    let mut buf = vec![1u8; 65536];
    let mut h = Histogram::new();
    while Instant::now() < end {
        let s = kernel::now_ns();
        let _ = (&a).write(&buf[..size]);
        while Instant::now() < end {
            match (&a).read(&mut buf) {
                Ok(n) if n > 0 => {
                    h.add(kernel::now_ns() - s);
                    break;
                }
                _ => std::hint::spin_loop(),
            }
        }
    }
    t.join().unwrap();
    line(
        &format!("loopback_pingpong_{size}_spinning"),
        format!("\"per_s\":{:.0},\"us\":{}", h.count() as f64 / secs, h.report_us().line()),
    );
}

/// An epoll server thread that answers each request of `size` bytes with as many bytes, against
/// `conns` connections that each have one request under way: the ceiling for request/response.
fn echo(secs: f64, conns: usize, size: usize) {
    let mut server = Vec::new();
    let mut client = Vec::new();
    for _ in 0..conns {
        let (a, b) = pair();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        client.push(a);
        server.push(b);
    }
    let serve = move |socks: Vec<TcpStream>, first: bool| {
        let mut ep = Poll::new().unwrap();
        for (i, s) in socks.iter().enumerate() {
            ep.add(s, i as u64).unwrap();
        }
        let mut buf = vec![0u8; 65536];
        if first {
            for s in &socks {
                let _ = (&mut &*s).write(&buf[..size]);
            }
        }
        let mut got = Vec::new();
        let mut n = 0u64;
        let end = Instant::now() + Duration::from_secs_f64(secs);
        while Instant::now() < end {
            ep.wait(10, &mut got).unwrap();
            for one in &got {
                let mut socket = &socks[one.key as usize];
                if let Ok(r @ 1..) = socket.read(&mut buf) {
                    let _ = socket.write(&buf[..r]);
                    n += 1;
                }
            }
        }
        n
    };
    let t = std::thread::spawn(move || serve(server, false));
    let n = serve(client, true);
    t.join().unwrap();
    line(
        &format!("loopback_echo_{conns}conns_{size}"),
        format!("\"per_s\":{:.0}", n as f64 / secs),
    );
}

fn memcpy(threads: usize) {
    let run = || {
        let n = 256 << 20;
        let a = vec![1u8; n];
        let mut b = vec![0u8; n];
        let t0 = Instant::now();
        let mut done = 0u64;
        while t0.elapsed().as_secs_f64() < 1.5 {
            b.copy_from_slice(&a);
            std::hint::black_box(&b);
            done += n as u64;
        }
        done as f64 / t0.elapsed().as_secs_f64() / 1e9
    };
    let hs: Vec<_> = (0..threads).map(|_| std::thread::spawn(run)).collect();
    let total: f64 = hs.into_iter().map(|h| h.join().unwrap()).sum();
    line(&format!("memcpy_{threads}threads"), format!("\"GB_s\":{total:.2}"));
}

fn syscalls() {
    let t0 = Instant::now();
    let mut n = 0u64;
    while t0.elapsed().as_secs_f64() < 1.0 {
        for _ in 0..1000 {
            std::hint::black_box(nix::unistd::getppid());
        }
        n += 1000;
    }
    line("syscall_getppid", format!("\"per_s\":{:.0}", n as f64 / t0.elapsed().as_secs_f64()));
}

fn disk(dir: &str, name: &str, chunk: usize, prealloc: bool, full: bool, secs: f64) {
    let path = format!("{dir}/probe.tmp");
    let mut f = OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap();
    if prealloc {
        let z = vec![0u8; 1 << 20];
        for _ in 0..256 {
            f.write_all(&z).unwrap();
        }
        f.sync_all().unwrap();
        use std::io::Seek;
        f.rewind().unwrap();
    }
    let buf = vec![7u8; chunk];
    let mut h = Histogram::new();
    let t0 = Instant::now();
    let mut bytes = 0usize;
    while t0.elapsed().as_secs_f64() < secs {
        let s = kernel::now_ns();
        f.write_all(&buf).unwrap();
        if full {
            f.sync_all().unwrap()
        } else {
            f.sync_data().unwrap()
        }
        h.add(kernel::now_ns() - s);
        bytes += chunk;
        if prealloc && bytes + chunk > 256 << 20 {
            use std::io::Seek;
            f.rewind().unwrap();
            bytes = 0;
        }
    }
    let dt = t0.elapsed().as_secs_f64();
    line(
        &format!("disk_{name}_{chunk}"),
        format!(
            "\"per_s\":{:.1},\"MB_s\":{:.2},\"us\":{}",
            h.count() as f64 / dt,
            h.count() as f64 * chunk as f64 / dt / 1e6,
            h.report_us().line()
        ),
    );
    drop(f);
    let _ = std::fs::remove_file(&path);
}

fn disk_buffered(dir: &str) {
    let path = format!("{dir}/probe.tmp");
    let mut f = OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap();
    let buf = vec![7u8; 65536];
    let t0 = Instant::now();
    let mut n = 0u64;
    while t0.elapsed().as_secs_f64() < 1.5 && n < 2 << 30 {
        f.write_all(&buf).unwrap();
        n += buf.len() as u64;
    }
    let w = t0.elapsed().as_secs_f64();
    f.sync_data().unwrap();
    let all = t0.elapsed().as_secs_f64();
    line(
        "disk_buffered_append_65536",
        format!(
            "\"page_cache_MB_s\":{:.0},\"with_final_sync_MB_s\":{:.0},\"bytes\":{n}",
            n as f64 / w / 1e6,
            n as f64 / all / 1e6
        ),
    );
    drop(f);
    let _ = std::fs::remove_file(&path);
}

pub fn run(dir: &str, only: &str) {
    let want = |k: &str| only.is_empty() || only == k;
    if want("net") {
        stream(2.0, 65536);
        stream(2.0, 1 << 20);
        stream_many(2.0, 65536, 1);
        stream_many(2.0, 65536, 10);
        stream_many(2.0, 65536, 100);
        stream_many(2.0, 262144, 10);
        stream(2.0, 4096);
        stream(2.0, 128);
        pingpong(2.0, 128, "free");
        pingpong(2.0, 1024, "free");
        pingpong(2.0, 128, "samecore");
        pingpong(2.0, 128, "twocores");
        spinpong(2.0, 128);
        for c in [1, 32, 256] {
            echo(2.0, c, 128);
        }
    }
    if want("mem") {
        memcpy(1);
        memcpy(2);
        syscalls();
    }
    if want("disk") {
        for size in [128, 1024, 4096] {
            disk(dir, "append_fdatasync", size, false, false, 2.0);
        }
        disk(dir, "append_fsync", 128, false, true, 2.0);
        for size in [128, 4096] {
            disk(dir, "prealloc_fdatasync", size, true, false, 2.0);
        }
        for size in [65536, 1 << 20, 4 << 20] {
            disk(dir, "append_fdatasync", size, false, false, 2.0);
        }
        disk(dir, "prealloc_fdatasync", 1 << 20, true, false, 2.0);
        disk_buffered(dir);
    }
}
