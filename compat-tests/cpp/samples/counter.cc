// A counter that three processes agree on. Run `counter 1`, `counter 2` and `counter 3` in three terminals, and type
// numbers into the one that says it is primary. Kill it: another takes over. Start it again: it catches up.

#include <atomic>
#include <iostream>
#include <string>

#include "rsl.h"

using namespace RSLib;

class Counter : public RSLStateMachine {
public:
    Counter() : m_value(0) {}

protected:
    bool LoadState(RSLCheckpointStreamReader* reader) {
        long long value = 0;
        unsigned long got = 0;
        if (reader != NULL && (reader->GetData(&value, sizeof value, &got) != NO_ERROR || got != sizeof value)) {
            return false;
        }
        m_value = value;
        return true;
    }

    // The same on every replica: nothing but the state and the request decides it.
    void ExecuteReplicatedRequest(void* request, size_t len, void*, bool*) {
        long long step = 0;
        if (len == sizeof step) {
            memcpy(&step, request, len);
            m_value += step;
            std::cout << "decree " << GetCurrentSequenceNumber() << ": " << m_value << std::endl;
        }
    }

    void SaveState(RSLCheckpointStreamWriter* writer) {
        const long long value = m_value;
        writer->Write(&value, sizeof value);
    }

    void AbortRequest(RSLResponseCode, void*) { std::cout << "not known whether it was executed" << std::endl; }
    void NotifyStatus(bool isPrimary) { std::cout << "primary: " << isPrimary << std::endl; }
    void ExecuteFastReadRequest(void*, size_t, void*) {}
    void NotifyConfigurationChanged(void*) {}
    void AbortChangeConfiguration(RSLResponseCode, void*) {}
    void ShutDown(RSLResponseCode) {}

private:
    std::atomic<long long> m_value;
};

static RSLNode Member(int number) {
    RSLNode node;
    node.SetMemberIdAsUInt64(static_cast<unsigned long long>(number));
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&node.m_ip, loopback, 4);
    node.m_rslPort = static_cast<unsigned short>(23100 + 10 * number);
    return node;
}

int main(int argc, char** argv) {
    const int own = argc > 1 ? atoi(argv[1]) : 0;
    if (own < 1 || own > 3 || !RSLInit("counter-logs")) {
        std::cerr << "which replica: 1, 2 or 3?" << std::endl;
        return 2;
    }
    RSLNodeCollection members;
    for (int number = 1; number <= 3; number++) {
        members.Append(Member(number));
    }
    RSLConfigParam config;
    snprintf(config.m_workingDir, sizeof config.m_workingDir, "counter-data");
    Counter& counter = *new Counter; // as long as the process
    if (!counter.Initialize(&config, members, Member(own), RSLProtocolVersion_6, false)) {
        std::cerr << "it cannot start; see counter-logs" << std::endl;
        return 1;
    }
    for (long long step; std::cin >> step;) {
        const RSLResponseCode code = counter.ReplicateRequest(&step, sizeof step, NULL);
        if (code != RSLSuccess) {
            std::cout << "refused: " << int(code) << std::endl;
        }
    }
    counter.UnloadThisOne(); // ends the process with code 0
}
