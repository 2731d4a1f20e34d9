// Replays a data directory and writes the state as a checkpoint to another one: replay DIRECTORY NUMBER INTO. Prints
// "sequence count hash configuration members", then "loaded count hash" of the new checkpoint.
#include "rsl.h"

#include "../host/state.h"
#include "check.h"

using namespace RSLib;

class Replayed : public RSLStateMachine {
public:
    Replayed() : calls(0), saves(0), saved(0) {}
    host::State state;
    int calls, saves;
    unsigned long long saved;

protected:
    bool LoadState(RSLCheckpointStreamReader* reader) override {
        calls++;
        state = host::State();
        return reader == NULL || Load(*reader, state);
    }
    void ExecuteReplicatedRequest(void* request, size_t len, void* cookie, bool*) override {
        CHECK(cookie == NULL);
        calls++;
        state.Execute(GetCurrentSequenceNumber(), static_cast<unsigned char*>(request), len);
    }
    void SaveState(RSLCheckpointStreamWriter* writer) override {
        saves++;
        CHECK(state.Save([writer](const void* data, size_t size) { return writer->Write(data, static_cast<unsigned long>(size)) == NO_ERROR; }));
    }
    void StateSaved(unsigned long long seqNo, const char* fileName) override {
        CHECK(fileName != NULL);
        saved = seqNo;
    }
    void NotifyConfigurationChanged(void* cookie) override { CHECK(cookie == NULL); }
    // Nothing of this belongs to a replay.
    void ExecuteFastReadRequest(void*, size_t, void*) override { CHECK(false); }
    void AbortRequest(RSLResponseCode, void*) override { CHECK(false); }
    void NotifyStatus(bool) override { CHECK(false); }
    void AbortChangeConfiguration(RSLResponseCode, void*) override { CHECK(false); }
    bool CanBecomePrimary(RSLPrimaryCookie*) override {
        CHECK(false);
        return false;
    }
    void ShutDown(RSLResponseCode) override { CHECK(false); }

public:
    static bool Load(RSLCheckpointStreamReader& reader, host::State& state) {
        const std::string wrong = state.Load(reader.Size(), [&reader](void* data, size_t size) {
            char* to = static_cast<char*>(data);
            while (size > 0) {
                unsigned long got = 0;
                if (reader.GetData(to, static_cast<unsigned long>(size), &got) != NO_ERROR || got == 0) {
                    return false;
                }
                to += got;
                size -= got;
            }
            return true;
        });
        return wrong.empty();
    }
};

// A machine that has replayed only answers questions; ending it is a no-op.
static void NothingRuns(Replayed& machine, RSLMemberSet& members) {
    char request[] = {1};
    const int calls = machine.calls;
    CHECK(machine.ReplicateRequest(request, 1, NULL) == RSLNotPrimary);
    CHECK(machine.ReplicateRequestExclusiveVote(request, 1, NULL, true) == RSLNotPrimary);
    CHECK(machine.FastReadRequest(0, request, 1, NULL, 1000) == RSLShuttingDown);
    const RSLResponseCode changed = machine.ChangeConfiguration(&members, NULL);
    CHECK(changed == RSLNotPrimary || changed == RSLInvalidParameter);
    CHECK(machine.CopyStateFromReplica(NULL) == RSLShuttingDown);
    CHECK(!machine.IsInStableState() && !machine.IsAnyRequestPendingExecution());
    machine.AttemptPromotion();
    machine.RelinquishPrimary();
    machine.UnloadThisOne();
    machine.UnloadThisOne();
    RSLStateMachine::Unload();
    CHECK(machine.calls == calls);
}

int main(int argc, char** argv) {
    CHECK(argc == 4 && RSLInit(NULL));
    const char* directory = argv[1];
    const unsigned long long number = strtoull(argv[2], NULL, 10);
    const std::string into = argv[3];
    {
        Replayed none;
        CHECK(!none.Replay(directory, ~0ull, 0, into.c_str()) && !none.Replay(directory, ~0ull, number, NULL));
        CHECK(!none.Replay(directory, ~0ull, number, directory) && !none.Replay(directory, ~0ull, number, (std::string(directory) + "/").c_str()));
        CHECK(none.calls == 0 && none.saves == 0);
        CHECK(none.Replay(directory, ~0ull, 0, NULL) && none.calls > 0 && none.saves == 0);
    }
    Replayed machine;
    CHECK(machine.Replay(directory, ~0ull, number, into.c_str()));
    CHECK(machine.saves == 1 && machine.saved == number);
    RSLMemberSet members;
    unsigned int configuration = 0;
    CHECK(machine.GetConfiguration(&members, &configuration));
    const host::State& state = machine.state;
    printf("%llu %llu %016llx %u %llu\n", machine.GetCurrentSequenceNumber(), static_cast<unsigned long long>(state.count),
           static_cast<unsigned long long>(state.hash), configuration, static_cast<unsigned long long>(members.GetNumMembers()));
    NothingRuns(machine, members);
    CHECK(machine.GetConfiguration(&members) && machine.GetCurrentSequenceNumber() > 0);

    RSLCheckpointStreamReader reader;
    host::State loaded;
    CHECK(reader.Init((into + "/" + argv[2] + ".codex").c_str()) == NO_ERROR && Replayed::Load(reader, loaded));
    printf("loaded %llu %016llx\n", static_cast<unsigned long long>(loaded.count), static_cast<unsigned long long>(loaded.hash));
    RSLUnload();
    return 0;
}
