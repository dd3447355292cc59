/// Rows of any kind behind two function values, so that everything below the entry points is compiled once, without generics:
/// generic code is not specialised across modules, and this is the hot path.
struct ErasedRows: RowReader {
    typealias Body = (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool

    private let getRow: (_ key: [UInt8]) throws(RowError) -> [UInt8]?
    private let scanRows: (_ from: [UInt8], _ below: [UInt8], _ reverse: Bool, _ body: Body) throws(RowError) -> Void

    /// `rows` must outlive the value: `with` sees to it.
    private init<Rows: RowReader & ~Copyable>(_ rows: UnsafePointer<Rows>) {
        getRow = { key throws(RowError) in try rows.pointee.get(key) }
        scanRows = { from, below, reverse, body throws(RowError) in
            try rows.pointee.scan(from: from, below: below, reverse: reverse, body)
        }
    }

    /// Lends `rows` to `body`, which must not let them escape.
    static func with<Rows: RowReader & ~Copyable, Result, Failure: Error>(
        _ rows: borrowing Rows,
        _ body: (ErasedRows) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafePointer(to: rows) { pointer throws(Failure) -> Result in try body(ErasedRows(pointer)) }
    }

    func get(_ key: [UInt8]) throws(RowError) -> [UInt8]? { try getRow(key) }

    func scan(from: [UInt8], below: [UInt8], reverse: Bool, _ body: Body) throws(RowError) {
        try scanRows(from, below, reverse, body)
    }
}

extension RowError {
    /// A row that no version of this code has written.
    static func corrupted(_ what: String, _ error: DecodeError? = nil) -> RowError {
        RowError(
            message: "\(what) cannot be read" + (error.map { ": \($0)" } ?? "")
                + "; restore this node's rows from another member",
            isCorruption: true)
    }
}

extension RowReader where Self: ~Copyable {
    /// The value stored alone under a key.
    borrowing func value<Value: Coded>(_ type: Value.Type, at key: [UInt8]) throws(RowError) -> Value? {
        guard let bytes = try get(key) else { return nil }
        do throws(DecodeError) {
            return try Value(decoding: bytes)
        } catch {
            throw .corrupted("the row of a \(Value.codedName)", error)
        }
    }

    /// A scan whose body may fail on what it reads.
    borrowing func forEach(
        from: [UInt8],
        below: [UInt8],
        reverse: Bool = false,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(RowError) -> Bool
    ) throws(RowError) {
        var failure: RowError?
        try scan(from: from, below: below, reverse: reverse) { key, value in
            do throws(RowError) {
                return try body(key, value)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }
}
