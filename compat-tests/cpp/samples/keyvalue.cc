// A key-value store with fast reads, checkpoints and answers to its callers: one process, one member, commands on standard
// input: `set KEY VALUE`, `get KEY`, `checkpoint`. Start it again in the same directory: the values are back.

#include <condition_variable>
#include <iostream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>

#include "rsl.h"

using namespace RSLib;

// Who waits for a request; its address is the cookie, which comes back exactly once.
struct Waiter {
    std::mutex mutex;
    std::condition_variable done;
    bool ended = false;
    std::string answer;

    void End(const std::string& text) {
        std::lock_guard<std::mutex> lock(mutex);
        ended = true;
        answer = text;
        done.notify_one(); // with the lock: the waiter may be gone right after
    }
    std::string Wait() {
        std::unique_lock<std::mutex> lock(mutex);
        done.wait(lock, [this] { return ended; });
        return answer;
    }
};

class Store : public RSLStateMachine {
protected:
    // Lines `key value`; a line may end in the next block of the checkpoint.
    bool LoadState(RSLCheckpointStreamReader* reader) {
        std::string text;
        char buffer[4096];
        unsigned long got = 0;
        while (reader != NULL && text.size() < reader->Size()) {
            if (reader->GetData(buffer, sizeof buffer, &got) != NO_ERROR) {
                return false;
            }
            text.append(buffer, got);
        }
        std::lock_guard<std::mutex> lock(m_mutex);
        m_values.clear();
        std::istringstream lines(text);
        for (std::string key, value; lines >> key >> value;) {
            m_values[key] = value;
        }
        return true;
    }

    void SaveState(RSLCheckpointStreamWriter* writer) {
        std::lock_guard<std::mutex> lock(m_mutex);
        for (const auto& entry : m_values) {
            const std::string line = entry.first + " " + entry.second + "\n";
            writer->Write(line.data(), static_cast<unsigned long>(line.size()));
        }
    }

    void ExecuteReplicatedRequest(void* request, size_t len, void* cookie, bool* saveState) {
        std::istringstream words(std::string(static_cast<char*>(request), len));
        std::string command, key, value;
        words >> command >> key >> value;
        if (command == "set") {
            std::lock_guard<std::mutex> lock(m_mutex);
            m_values[key] = value;
        }
        *saveState = command == "checkpoint";
        if (cookie != NULL) {
            static_cast<Waiter*>(cookie)->End("ok, decree " + std::to_string(GetCurrentSequenceNumber()));
        }
    }

    void ExecuteFastReadRequest(void* request, size_t len, void* cookie) {
        std::lock_guard<std::mutex> lock(m_mutex);
        const auto found = m_values.find(std::string(static_cast<char*>(request), len));
        static_cast<Waiter*>(cookie)->End(found == m_values.end() ? "no such key" : found->second);
    }

    void AbortRequest(RSLResponseCode status, void* cookie) {
        if (cookie != NULL) {
            static_cast<Waiter*>(cookie)->End(status == RSLFastReadStale ? "too old" : "not known whether it was executed");
        }
    }

    void StateSaved(unsigned long long, const char* fileName) { std::cout << "saved " << fileName << std::endl; }
    void NotifyStatus(bool isPrimary) { std::cout << "primary: " << isPrimary << std::endl; }
    void NotifyConfigurationChanged(void*) {}
    void AbortChangeConfiguration(RSLResponseCode, void*) {}
    void ShutDown(RSLResponseCode) {}

private:
    std::mutex m_mutex; // fast reads run beside execution
    std::map<std::string, std::string> m_values;
};

int main(int argc, char** argv) {
    if (argc != 3 || !RSLInit(NULL)) {
        std::cerr << "usage: keyvalue DIRECTORY PORT" << std::endl;
        return 2;
    }
    RSLNode self;
    self.SetMemberIdAsUInt64(1);
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&self.m_ip, loopback, 4);
    self.m_rslPort = static_cast<unsigned short>(atoi(argv[2]));
    RSLNodeCollection members;
    members.Append(self);
    RSLConfigParam config;
    snprintf(config.m_workingDir, sizeof config.m_workingDir, "%s", argv[1]);
    Store& store = *new Store; // as long as the process
    if (!store.Initialize(&config, members, self, RSLProtocolVersion_6, false)) {
        return 1;
    }
    for (std::string line; std::getline(std::cin, line);) {
        Waiter waiter;
        const bool read = line.compare(0, 4, "get ") == 0;
        std::string request = read ? line.substr(4) : line;
        const RSLResponseCode code =
            read ? store.FastReadRequest(store.GetCurrentSequenceNumber(), &request[0], request.size(), &waiter)
                 : store.ReplicateRequest(&request[0], request.size(), &waiter);
        std::cout << (code == RSLSuccess ? waiter.Wait() : "refused: " + std::to_string(code)) << std::endl;
    }
    store.UnloadThisOne(); // ends the process with code 0
}
