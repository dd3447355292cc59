import Testing

@testable import ReplicaCore

@Suite struct FeatureTests {
    private let members = Members(voters: [1, 2, 3], outgoingVoters: [3, 4], learners: [5])

    @Test func `the version rises to what every member of both halves and every learner states`() {
        func target(_ stated: [UInt64: UInt32], active: UInt32 = 1) -> UInt32? {
            FeatureRise.target(active: active, members: members) { stated[$0] }
        }
        #expect(target([1: 2, 2: 2, 3: 2, 4: 2, 5: 2]) == 2)
        #expect(target([1: 4, 2: 3, 3: 4, 4: 5, 5: 3]) == 3)
        #expect(target([1: 4, 2: 3, 3: 4, 4: 5, 5: 3], active: 3) == nil)
        for old in members.everyone {
            var stated: [UInt64: UInt32] = [1: 2, 2: 2, 3: 2, 4: 2, 5: 2]
            stated[old] = 1
            #expect(target(stated) == nil, "node \(old) knows less")
            stated[old] = nil
            #expect(target(stated) == nil, "node \(old) is silent")
        }
        #expect(FeatureRise.target(active: 1, members: Members(voters: [])) { _ in 9 } == nil)
    }

    @Test func `the command waits until everybody who would receive it has sealed its directory`() {
        #expect(FeatureRise.mayPropose(members: members, sealed: [1, 2, 3, 4, 5, 6]))
        #expect(!FeatureRise.mayPropose(members: members, sealed: [1, 2, 3, 4]))
        #expect(!FeatureRise.mayPropose(members: Members(voters: []), sealed: [1]))
    }

    @Test func `a raise shows in rows and after a restart, makes no revision, and never falls`() throws {
        var replica = try TestReplica()
        #expect(replica.applier.featureVersion == FeatureVersion.first)
        #expect(try replica.run(.raiseFeatures(to: 2)) == .done(revision: 0))
        #expect(replica.output.featureVersion == 2)
        #expect(replica.applier.featureVersion == 2)
        #expect(try replica.rows.get(RowKey.featureVersion) == [1, 2, 0, 0, 0])
        #expect(try Applier(loading: replica.rows).featureVersion == 2)
        #expect(try replica.run(.raiseFeatures(to: 2)) == .done(revision: 0))
        #expect(replica.output.featureVersion == nil, "nothing rose")
        #expect(try replica.run(.raiseFeatures(to: 7)) == .done(revision: 0))
        #expect(try replica.run(.raiseFeatures(to: 3)) == .done(revision: 0))
        #expect(replica.applier.featureVersion == 7)
        #expect(try replica.run(.raiseFeatures(to: 1)).refusal?.code == .invalidArgument)
        #expect(replica.applier.state.revision == 0)
    }

    @Test func `a committed command of a newer build ends applying, whole`() throws {
        let put = Envelope(time: 1, command: .put(key: "a".asBytes, value: [], lease: 0))
        for (place, value) in [(33, UInt8(200)), (0, 2)] {
            var replica = try TestReplica()
            var newer = put.encoded()
            newer[place] = value
            var payload: [UInt8] = []
            EntryPayload.append(put, to: &payload)
            EntryPayload.append(encoded: newer[...], to: &payload)
            #expect(throws: RowError.self) {
                try replica.apply(entries: [CommittedEntry(index: 1, term: 1, content: .normal(payload))])
            }
            #expect(try replica.rows.get(RowKey.state) == AppliedState().encoded(), "nothing of the group is written")
        }
    }

    @Test func `every feature belongs to a version that this build knows`() {
        for feature in Feature.allCases {
            #expect(feature.since > FeatureVersion.first && feature.since <= FeatureVersion.known)
        }
    }
}
