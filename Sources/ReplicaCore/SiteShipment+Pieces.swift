// A standby makes the chunks of a version durable before the revision that publishes it: such a revision is shipped by itself.
extension SiteShipment {
    /// A version that a revision publishes.
    package struct Publish: Sendable, Hashable {
        package var name: String
        package var version: String
        package var record: ModelRecord
    }

    /// The same revisions in shipments that follow each other: those that publish a version alone, with what they publish, and the others
    /// together, as many as fit one command. The last has the whole shipment's hash if the entries are those that it covers.
    package func pieces<Hash: HashFunction>(
        hash: Hash.Type, bytesMax: Int = Limits.shipmentBytesMax
    ) throws(DecodeError) -> [(shipment: SiteShipment, publishes: [Publish])] {
        var pieces: [(shipment: SiteShipment, publishes: [Publish])] = []
        var bytes = 0
        var position = after
        func piece() -> SiteShipment {
            SiteShipment(
                epoch: epoch, after: position, entries: [], hash: position.hash, compactRevision: compactRevision,
                feedFloor: feedFloor)
        }
        for entry in entries {
            let publishes = try entry.publishes()
            let isFull = bytes + entry.bytes.count > bytesMax
            if pieces.isEmpty || !publishes.isEmpty || isFull || pieces.last?.publishes.isEmpty == false
                || pieces[pieces.count - 1].shipment.entries.count == Limits.shipmentEntriesMax
            {
                pieces.append((piece(), publishes))
                bytes = 0
            }
            position.revision += 1
            position.hash = entry.hash(after: position.hash) { bytes in
                var function = Hash()
                function.update(bytes)
                return function.finish()
            }
            bytes += entry.bytes.count
            pieces[pieces.count - 1].shipment.entries.append(entry)
            pieces[pieces.count - 1].shipment.hash = position.hash
        }
        return pieces
    }
}

extension FeedEntry {
    /// The versions that become visible by this revision.
    package func publishes() throws(DecodeError) -> [SiteShipment.Publish] {
        var publishes: [SiteShipment.Publish] = []
        for case .put(.system, let key, let value, _) in try decoded().effects {
            guard let found = ModelName.decode(key) else { continue }
            let record = try ModelRecord(decoding: value)
            if !record.isRetired {
                publishes.append(SiteShipment.Publish(name: found.name, version: found.version, record: record))
            }
        }
        return publishes
    }
}
