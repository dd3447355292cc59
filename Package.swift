// swift-tools-version: 6.2
import PackageDescription

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
]
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
    name: "Holdfast",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Holdfast", targets: ["Holdfast"]),
        .executable(name: "holdfast", targets: ["HoldfastCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C: processor instructions and Linux calls; libcrypto's SHA-256, libzstd.
        .target(name: "CHoldfast", linkerSettings: [.linkedLibrary("crypto"), .linkedLibrary("zstd")]),
        .systemLibrary(name: "CRocksDB", pkgConfig: "rocksdb", providers: [.apt(["librocksdb-dev"])]),
        .target(name: "CRocksDBShim", linkerSettings: [.linkedLibrary("rocksdb")]),

        // Pure cores.
        .target(name: "RaftCore"),
        .target(name: "ReplicaCore"),

        // Shells.
        .target(name: "Storage", dependencies: ["RaftCore", "ReplicaCore", "CHoldfast", "CRocksDB", "CRocksDBShim"]),
        .target(name: "Transport", dependencies: ["CHoldfast", logging] + nio),
        .target(
            name: "Holdfast",
            dependencies: ["RaftCore", "ReplicaCore", "Storage", "Transport", "CHoldfast", logging, metrics, lifecycle]
                + nio),
        .executableTarget(
            name: "HoldfastCLI",
            dependencies: [
                "Holdfast", "CHoldfast", "Yams", logging, lifecycle,
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // Benchmarks: programs that print figures.
        .executableTarget(name: "RaftBenchmark", dependencies: ["RaftCore"], path: "Tests/RaftBenchmark"),
        .executableTarget(
            name: "LogBenchmark", dependencies: ["Storage", "CRocksDB"], path: "Tests/LogBenchmark", exclude: ["run"]),

        // Judges histories of real processes; used by its tests and by the campaign.
        .target(name: "Linearizability", path: "Tests/Linearizability"),

        // The simulator: whole clusters in one process, for tests and as a program.
        .target(name: "Simulation", dependencies: ["RaftCore", "ReplicaCore", "Storage"], path: "Tests/Simulation"),
        .executableTarget(
            name: "SimulationProgram", dependencies: ["Simulation"], path: "Tests/SimulationProgram"),

        .testTarget(name: "LinearizabilityTests", dependencies: ["Linearizability", "Processes"]),
        .testTarget(name: "RaftCoreTests", dependencies: ["RaftCore"]),
        .testTarget(name: "ReplicaCoreTests", dependencies: ["ReplicaCore"]),
        .testTarget(name: "SimulationTests", dependencies: ["Simulation"]),
        .testTarget(name: "StorageLogTests", dependencies: ["Storage"], exclude: ["Golden"]),
        .testTarget(name: "StorageTests", dependencies: ["Storage"]),
        .testTarget(
            name: "TransportTests", dependencies: ["Transport", .product(name: "NIOEmbedded", package: "swift-nio")]),
        .testTarget(name: "ModelTests", dependencies: ["Holdfast"]),
        .testTarget(name: "HoldfastTests", dependencies: ["Holdfast"]),
        .testTarget(name: "CLITests", dependencies: ["HoldfastCLI"]),

        // Real processes of the built program; the tests depend on the program so that it is built with them.
        .target(name: "Processes", path: "Tests/Processes"),
        // Clients and faults on real processes; Tests/campaign runs it.
        .executableTarget(
            name: "Campaign",
            dependencies: [
                "Holdfast", "Linearizability", "Processes", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], path: "Tests/Campaign"),
        .testTarget(name: "EndToEndTests", dependencies: ["HoldfastCLI", "Processes"]),
        .testTarget(
            name: "RepairTests", dependencies: ["HoldfastCLI", "Processes", "Storage", "ReplicaCore"]),
        .testTarget(
            name: "FaultTests", dependencies: ["Holdfast", "HoldfastCLI", "Processes", logging], exclude: ["Interposer"]
        ),
    ]
)

// The fuzzer: our targets with coverage counters, and a program of libFuzzer's that feeds their decoders. See Tests/fuzz.
if Context.environment["HOLDFAST_FUZZ"] == "1" {
    let counted = ["RaftCore", "ReplicaCore", "Storage", "Transport", "Holdfast"]
    for target in package.targets where counted.contains(target.name) {
        target.swiftSettings = (target.swiftSettings ?? []) + [.unsafeFlags(["-sanitize=fuzzer"])]
    }
    package.targets.append(
        .executableTarget(
            name: "Fuzz", dependencies: counted.map { .byName(name: $0) } + nio, path: "Tests/Fuzz",
            exclude: ["Corpus"],
            swiftSettings: [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
}
