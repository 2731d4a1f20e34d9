// A service as its author wrote it for the legacy library: it overrides every virtual function, some with `virtual`, some
// with `override`, some with neither.
#ifndef CPP_SERVICE_H
#define CPP_SERVICE_H

#include "rsl.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "check.h"

class Service : public RSLib::RSLStateMachine {
public:
    Service() : sum(0), executed(0), cookies(0), reads(0), aborts(0), changes(0), changedCookie(0), shutDowns(0), saved(0), copied(0), loads(0), befores(0), afters(0), primary(false), recovered(false), asked(0), wantSave(false), throwIn(0) {}
    virtual ~Service() {}

    std::atomic<unsigned long long> sum, executed, cookies, reads, aborts, changes, changedCookie, shutDowns, saved, copied, loads, befores, afters;
    std::atomic<bool> primary, recovered;
    std::atomic<int> asked;
    std::atomic<bool> wantSave;
    std::atomic<int> throwIn;
    std::function<void()> inside, atShutDown, atStatus;

    std::string SavedFile() {
        std::lock_guard<std::mutex> lock(m_mutex);
        return m_savedFile;
    }
    void Log(const char* name) {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_log.push_back(name);
    }
    std::vector<std::string> TakeLog() {
        std::lock_guard<std::mutex> lock(m_mutex);
        std::vector<std::string> log;
        log.swap(m_log);
        return log;
    }

protected:
    virtual bool LoadState(RSLib::RSLCheckpointStreamReader* reader) {
        loads++;
        Log("LoadState");
        unsigned long long value = 0;
        unsigned long got = 0;
        if (reader != NULL && (reader->Size() != sizeof value || reader->GetData(&value, sizeof value, &got) != NO_ERROR || got != sizeof value)) {
            return false;
        }
        sum = value;
        return true;
    }
    virtual void BeforeExecuteReplicatedRequests() { befores++; }
    void AfterExecuteReplicatedRequests() override { afters++; }
    virtual void ExecuteReplicatedRequest(void* request, size_t len, void* cookie, bool* saveState) {
        CHECK(len > 0 && !*saveState);
        if (throwIn == 1) {
            throw std::string("on purpose");
        }
        sum += *static_cast<unsigned char*>(request);
        cookies += reinterpret_cast<size_t>(cookie);
        if (inside) {
            const std::function<void()> call = inside;
            inside = nullptr;
            call();
        }
        *saveState = wantSave.exchange(false);
        executed++;
    }
    void ExecuteFastReadRequest(void* request, size_t len, void* cookie) override {
        CHECK(request != NULL && len == 1 && *static_cast<unsigned char*>(request) == 1);
        reads += reinterpret_cast<size_t>(cookie);
    }
    virtual void AbortRequest(RSLib::RSLResponseCode status, void*) override {
        CHECK(status == RSLib::RSLNotPrimary || status == RSLib::RSLShuttingDown || status == RSLib::RSLFastReadStale);
        Log("AbortRequest");
        aborts++;
    }
    void SaveState(RSLib::RSLCheckpointStreamWriter* writer) {
        const unsigned long long value = sum;
        CHECK(writer->Write(&value, sizeof value) == NO_ERROR);
        CHECK(writer->Close() == NO_ERROR && writer->Close() == NO_ERROR);
        CHECK(writer->Write(&value, sizeof value) == ERROR_INVALID_HANDLE);
    }
    bool TrySaveState(RSLib::RSLCheckpointStreamWriter* writer) override {
        Log("TrySaveState");
        return RSLStateMachine::TrySaveState(writer);
    }
    void StateSaved(unsigned long long seqNo, const char* fileName) override {
        Log("StateSaved");
        {
            std::lock_guard<std::mutex> lock(m_mutex);
            m_savedFile = fileName;
        }
        saved = seqNo;
        RSLStateMachine::StateSaved(seqNo, fileName);
    }
    void StateCopied(unsigned long long seqNo, const char* fileName, void* cookie) {
        CHECK((seqNo == 0) == (fileName == NULL));
        copied += reinterpret_cast<size_t>(cookie);
        RSLStateMachine::StateCopied(seqNo, fileName, cookie);
    }
    void NotifyStatus(bool isPrimary) {
        Log(isPrimary ? "NotifyStatus(true)" : "NotifyStatus(false)");
        if (atStatus) {
            atStatus();
        }
        primary = isPrimary;
    }
    void NotifyPrimaryRecovered() override {
        Log("NotifyPrimaryRecovered");
        RSLStateMachine::NotifyPrimaryRecovered();
        recovered = true;
    }
    void NotifyConfigurationChanged(void* cookie) {
        Log("NotifyConfigurationChanged");
        changedCookie = reinterpret_cast<size_t>(cookie);
        changes++;
    }
    void AbortChangeConfiguration(RSLib::RSLResponseCode, void*) { Log("AbortChangeConfiguration"); }
    bool CanBecomePrimary() override { return RSLStateMachine::CanBecomePrimary(); }
    bool CanBecomePrimary(RSLib::RSLPrimaryCookie* cookie) override {
        char bytes[] = "cookie";
        cookie->Set(bytes, 6);
        asked++;
        return RSLStateMachine::CanBecomePrimary(cookie);
    }
    bool AcceptMessageFromReplica(RSLib::RSLNode* node, void* data, unsigned int len) override {
        return RSLStateMachine::AcceptMessageFromReplica(node, data, len);
    }
    bool ResolveNode(RSLib::RSLNode* node) override { return RSLStateMachine::ResolveNode(node); }
    void ShutDown(RSLib::RSLResponseCode status) {
        CHECK(status == RSLib::RSLShuttingDown);
        Log("ShutDown");
        if (atShutDown) {
            atShutDown();
        }
        shutDowns++;
    }

private:
    std::mutex m_mutex;
    std::string m_savedFile;
    std::vector<std::string> m_log;
};

inline RSLib::RSLConfigParam TestConfig(const std::string& directory) {
    RSLib::RSLConfigParam config;
    config.m_electionDelaySec = config.m_newLeaderGracePeriodSec = config.m_heartBeatIntervalSec = 1;
    config.m_addMemberIdToWorkingDir = false;
    strncpy(config.m_workingDir, directory.c_str(), MAX_PATH);
    return config;
}

inline RSLib::RSLNode TestNode(const char* id, int port) {
    RSLib::RSLNode node;
    strcpy(node.m_memberIdString, id);
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&node.m_ip, loopback, 4);
    node.m_rslPort = static_cast<unsigned short>(port);
    return node;
}

// A SpawnRoutine of a service.
inline std::atomic<int>& Spawned() {
    static std::atomic<int> spawned(0);
    return spawned;
}
inline void SpawnThread(unsigned int(__stdcall* start)(void*), RSLib::ThreadPriority priority, void* arg) {
    CHECK(priority == RSLib::Priority_Normal || priority == RSLib::Priority_Highest);
    Spawned()++;
    std::thread([start, arg] { start(arg); }).detach();
}

#endif
