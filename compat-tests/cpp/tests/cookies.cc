// Every cookie that was taken comes back exactly once: three replicas under random requests from four threads, while
// leadership moves and one of them is unloaded. Arguments: directory, three ports, seed.
#include "service.h"

#include <map>
#include <random>
#include <set>

using namespace RSLib;

class Counter : public Service {
public:
    Counter() : over(false) {}
    std::atomic<bool> over;

    void Accepted(size_t cookie) {
        std::lock_guard<std::mutex> lock(m_lock);
        m_accepted.insert(cookie);
    }
    // Everything that was accepted here came back once, and nothing else did.
    void Settle() {
        std::lock_guard<std::mutex> lock(m_lock);
        CHECK(m_accepted.size() == m_returned.size());
        for (const std::pair<const size_t, int>& one : m_returned) {
            CHECK(one.second == 1 && m_accepted.count(one.first) == 1);
        }
    }
    size_t Taken() {
        std::lock_guard<std::mutex> lock(m_lock);
        return m_accepted.size();
    }

protected:
    void ExecuteReplicatedRequest(void*, size_t, void* cookie, bool*) override {
        CHECK(!over);
        Return(cookie);
    }
    void ExecuteFastReadRequest(void*, size_t, void* cookie) override { Return(cookie); }
    void AbortRequest(RSLResponseCode, void* cookie) override { Return(cookie); }
    void ShutDown(RSLResponseCode) override {
        CHECK(!over.exchange(true));
    }

private:
    void Return(void* cookie) {
        CHECK(!over);
        if (cookie != NULL) {
            std::lock_guard<std::mutex> lock(m_lock);
            m_returned[reinterpret_cast<size_t>(cookie)]++;
        }
    }
    std::mutex m_lock;
    std::set<size_t> m_accepted;
    std::map<size_t, int> m_returned;
};

static Counter* g_counters;
static std::atomic<size_t> g_next(1);
static std::atomic<bool> g_stop(false);

static void Submit(unsigned int seed) {
    std::mt19937 random(seed);
    char bytes[300] = {1};
    while (!g_stop) {
        Counter& target = g_counters[random() % 3];
        const size_t cookie = g_next++;
        void* const given = reinterpret_cast<void*>(cookie);
        const size_t length = 1 + random() % sizeof bytes;
        RSLResponseCode code;
        switch (random() % 8) {
        case 0:
            code = target.ReplicateRequestExclusiveVote(bytes, length, given);
            break;
        case 1:
            code = target.FastReadRequest(target.GetCurrentSequenceNumber() + random() % 3, bytes, length, given, random() % 50);
            break;
        default:
            code = target.ReplicateRequest(bytes, length, given);
        }
        if (code == RSLSuccess) {
            target.Accepted(cookie);
        } else {
            CHECK(code == RSLNotPrimary || code == RSLFastReadStale || code == RSLShuttingDown);
        }
        if (random() % 16 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
        }
    }
}

int main(int argc, char** argv) {
    CHECK(argc == 6 && RSLInit(NULL));
    const unsigned int seed = static_cast<unsigned int>(atoi(argv[5]));
    RSLNodeCollection nodes;
    for (int i = 0; i < 3; i++) {
        nodes.Append(TestNode(std::to_string(i + 1).c_str(), atoi(argv[2 + i])));
    }
    Counter counters[3];
    g_counters = counters;
    for (size_t i = 0; i < 3; i++) {
        RSLConfigParam config = TestConfig(std::string(argv[1]) + "/" + nodes[i].m_memberIdString);
        config.m_fastReadSeqThreshold = 2;
        CHECK(counters[i].Initialize(&config, nodes, nodes[i], RSLProtocolVersion_6, seed % 2 == 0, SpawnThread));
    }
    CHECK(Eventually([&] { return counters[0].recovered || counters[1].recovered || counters[2].recovered; }));
    std::vector<std::thread> threads;
    for (unsigned int i = 0; i < 4; i++) {
        threads.emplace_back(Submit, seed * 10 + i);
    }
    std::mt19937 random(seed);
    for (int move = 0; move < 8; move++) {
        counters[random() % 3].AttemptPromotion();
        std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 300));
        if (move == 5) {
            // Under load; whoever it is.
            counters[random() % 3].UnloadThisOne();
        }
    }
    RSLStateMachine::Unload();
    g_stop = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    size_t taken = 0;
    for (size_t i = 0; i < 3; i++) {
        CHECK(counters[i].over);
        counters[i].Settle();
        taken += counters[i].Taken();
    }
    CHECK(taken > 200);
    puts("done");
    return 0;
}
