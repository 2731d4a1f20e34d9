// The host's state machine, its log files, and the requests under way.
#ifndef HOST_MACHINE_H
#define HOST_MACHINE_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "state.h"

namespace host {

typedef std::chrono::steady_clock Clock;

inline const char* CodeName(int code) {
    static const char* const names[] = {"RSLSuccess",      "RSLFastReadStale",        "RSLNotPrimary",      "RSLShuttingDown",
                                        "RSLAlreadyBootstrapped", "RSLBootstrapFailed", "RSLInvalidParameter"};
    return code >= 0 && code < 7 ? names[code] : code == 100 ? "RSLQueueFull" : "unknown";
}

// A text file that is appended to, or nothing.
class LogFile {
public:
    LogFile() : m_file(NULL) {}
    ~LogFile() {
        if (m_file != NULL) {
            fclose(m_file);
        }
    }
    bool Open(const std::string& path) { return (m_file = fopen(path.c_str(), "ab")) != NULL; }

    // Whole lines at once, so that a killed host leaves at most its last line torn.
    void Write(const std::string& lines) {
        std::lock_guard<std::mutex> lock(m_mutex);
        if (m_file != NULL && !lines.empty()) {
            fwrite(lines.data(), 1, lines.size(), m_file);
            fflush(m_file);
        }
    }

    // HH:MM:SS.mmm in UTC, then the text.
    void Event(const std::string& text) {
        const long long now =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count() % 86400000;
        char time[32];
        snprintf(time, sizeof time, "%02lld:%02lld:%02lld.%03lld ", now / 3600000, now / 60000 % 60, now / 1000 % 60, now % 1000);
        Write(time + text + "\n");
    }

private:
    LogFile(const LogFile&) = delete;
    LogFile& operator=(const LogFile&) = delete;
    std::mutex m_mutex;
    FILE* m_file;
};

// Requests that one command submitted.
struct Batch {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Clock::time_point> starts;
    std::vector<uint64_t> latencies;
    uint64_t aborted, lastSeq;
    int lastAbort;

    Batch() : aborted(0), lastSeq(0), lastAbort(-1) {}
    // With the mutex held.
    uint64_t InFlight() const { return starts.size() - latencies.size() - aborted; }
};

// How a fast read ended.
struct Read {
    bool done;
    int abort;
    uint64_t seq, count, hash;
    Read() : done(false), abort(-1), seq(0), count(0), hash(0) {}
};

class Machine : public RSLib::RSLStateMachine {
public:
    Machine() : accept(true), mayLead(true), maySave(true), execDelay(0), saveDelay(0), notify(0), saves(0), loads(0), confs(0), abortConfs(0), copied(0), aborts(0), fastReads(0), m_next(0), m_index(0), m_primary(false), m_recovered(false) {}

    std::atomic<bool> accept, mayLead, maySave;
    std::atomic<uint64_t> execDelay, saveDelay;
    std::atomic<unsigned int> notify, saves, loads, confs, abortConfs, copied, aborts, fastReads;
    LogFile events, execLog;

    struct Seen {
        bool primary, recovered;
        std::string lastSaved, lastCopied;
        Bytes acceptCookie;
    };

    Seen GetSeen() {
        std::lock_guard<std::mutex> lock(m_mutex);
        const Seen seen = {m_primary, m_recovered, m_lastSaved, m_lastCopied, m_acceptCookie};
        return seen;
    }
    State GetState() {
        std::lock_guard<std::mutex> lock(m_mutex);
        return m_state;
    }
    void SetCookie(const Bytes& cookie) {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_cookie = cookie;
    }
    void WaitFor(uint64_t seq, std::chrono::milliseconds timeout) {
        const Clock::time_point end = Clock::now() + timeout;
        std::unique_lock<std::mutex> lock(m_mutex);
        while (GetCurrentSequenceNumber() < seq && Clock::now() < end) {
            // Empty decrees call nothing.
            m_advanced.wait_for(lock, std::chrono::milliseconds(20));
        }
    }

    // A cookie is the number of its batch or read in the upper half, and of the request in the lower.
    uint64_t AddBatch(const std::shared_ptr<Batch>& batch) {
        std::lock_guard<std::mutex> lock(m_waiters);
        m_batches[++m_next] = batch;
        return m_next;
    }
    void ForgetBatch(uint64_t number) {
        std::lock_guard<std::mutex> lock(m_waiters);
        m_batches.erase(number);
    }
    static void* Cookie(uint64_t number, uint64_t index) {
        return reinterpret_cast<void*>(static_cast<uintptr_t>(number << 32 | index));
    }
    uint64_t AddRead() {
        std::lock_guard<std::mutex> lock(m_waiters);
        m_reads[++m_next] = Read();
        return m_next;
    }
    // False: it has not ended in time.
    bool TakeRead(uint64_t number, std::chrono::milliseconds timeout, Read* read) {
        std::unique_lock<std::mutex> lock(m_waiters);
        const bool done = m_readEnded.wait_for(lock, timeout, [&] { return m_reads[number].done; });
        *read = m_reads[number];
        m_reads.erase(number);
        return done;
    }

protected:
    bool LoadState(RSLib::RSLCheckpointStreamReader* reader) {
        loads++;
        if (reader == NULL) {
            std::lock_guard<std::mutex> lock(m_mutex);
            m_state = State();
            events.Event("LoadState NULL");
            return true;
        }
        const std::string file = reader->GetFileName();
        const uint64_t size = reader->Size();
        State loaded;
        const std::string wrong = loaded.Load(size, [reader](void* into, size_t length) { return ReadAll(reader, into, length); });
        const std::string what = wrong.empty() ? "ok count=" + std::to_string(loaded.count) + " hash=" + Hex64(loaded.hash) : wrong;
        events.Event("LoadState " + what + " file=" + file + " size=" + std::to_string(size));
        std::lock_guard<std::mutex> lock(m_mutex);
        if (wrong.empty()) {
            m_state = loaded;
        }
        return wrong.empty();
    }

    void BeforeExecuteReplicatedRequests() {
        std::lock_guard<std::mutex> lock(m_mutex);
        m_index = 0;
    }

    void ExecuteReplicatedRequest(void* request, size_t len, void* cookie, bool* saveState) {
        Sleep(execDelay);
        const uint64_t seq = GetCurrentSequenceNumber();
        const unsigned char* bytes = static_cast<const unsigned char*>(request);
        {
            std::lock_guard<std::mutex> lock(m_mutex);
            *saveState = m_state.Execute(seq, bytes, len);
            m_lines += std::to_string(seq) + " " + std::to_string(m_index++) + " " + std::to_string(len) + " " + Hex64(m_state.hash) +
                       (cookie == NULL ? " 0 " : " 1 ") + Hex(bytes, (std::min)(len, size_t(16))) + "\n";
        }
        const std::shared_ptr<Batch> batch = Find(cookie);
        if (batch) {
            std::lock_guard<std::mutex> lock(batch->mutex);
            const size_t index = static_cast<size_t>(reinterpret_cast<uintptr_t>(cookie) & 0xffffffffu);
            const Clock::duration took = index < batch->starts.size() ? Clock::now() - batch->starts[index] : Clock::duration(0);
            batch->latencies.push_back(static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
            batch->lastSeq = seq;
            batch->changed.notify_all();
        }
    }

    void AfterExecuteReplicatedRequests() {
        std::lock_guard<std::mutex> lock(m_mutex);
        execLog.Write(m_lines);
        m_lines.clear();
        m_advanced.notify_all();
    }

    void ExecuteFastReadRequest(void*, size_t, void* cookie) {
        fastReads++;
        const State state = GetState();
        Read read;
        read.seq = GetCurrentSequenceNumber();
        read.count = state.count;
        read.hash = state.hash;
        EndRead(cookie, read);
    }

    void AbortRequest(RSLib::RSLResponseCode status, void* cookie) {
        aborts++;
        events.Event(std::string("AbortRequest ") + CodeName(status) + " cookie=" + CookieText(cookie));
        const std::shared_ptr<Batch> batch = Find(cookie);
        if (!batch) {
            Read read;
            read.abort = status;
            EndRead(cookie, read);
            return;
        }
        std::lock_guard<std::mutex> lock(batch->mutex);
        batch->aborted++;
        batch->lastAbort = status;
        batch->changed.notify_all();
    }

    void SaveState(RSLib::RSLCheckpointStreamWriter* writer) {
        saves++;
        const State state = GetState();
        events.Event("SaveState count=" + std::to_string(state.count) + " hash=" + Hex64(state.hash) + " seq=" + Seq());
        // A failed write makes the checkpoint fail by itself.
        state.Save([writer](const void* data, size_t length) { return writer->Write(data, static_cast<unsigned long>(length)) == NO_ERROR; });
    }

    bool TrySaveState(RSLib::RSLCheckpointStreamWriter* writer) {
        Sleep(saveDelay);
        if (!maySave) {
            events.Event("TrySaveState -> 0");
            return false;
        }
        SaveState(writer);
        return true;
    }

    void StateSaved(unsigned long long seqNo, const char* fileName) {
        events.Event("StateSaved seq=" + std::to_string(seqNo) + " file=" + fileName);
        std::lock_guard<std::mutex> lock(m_mutex);
        m_lastSaved = std::to_string(seqNo);
    }

    void StateCopied(unsigned long long seqNo, const char* fileName, void* cookie) {
        copied++;
        events.Event("StateCopied seq=" + std::to_string(seqNo) + " file=" + (fileName == NULL ? "NULL" : fileName) + " cookie=" + CookieText(cookie));
        std::lock_guard<std::mutex> lock(m_mutex);
        m_lastCopied = std::to_string(seqNo);
    }

    void NotifyStatus(bool isPrimary) {
        notify++;
        events.Event("NotifyStatus isPrimary=" + std::to_string(int(isPrimary)) + " seq=" + Seq());
        std::lock_guard<std::mutex> lock(m_mutex);
        m_primary = isPrimary;
        m_recovered = false;
    }

    void NotifyPrimaryRecovered() {
        events.Event("NotifyPrimaryRecovered seq=" + Seq());
        std::lock_guard<std::mutex> lock(m_mutex);
        m_recovered = true;
    }

    void NotifyConfigurationChanged(void* cookie) {
        confs++;
        events.Event("NotifyConfigurationChanged cookie=" + CookieText(cookie) + " seq=" + Seq());
    }

    void AbortChangeConfiguration(RSLib::RSLResponseCode status, void* cookie) {
        abortConfs++;
        events.Event(std::string("AbortChangeConfiguration ") + CodeName(status) + " cookie=" + CookieText(cookie));
    }

    bool CanBecomePrimary(RSLib::RSLPrimaryCookie* cookie) {
        std::lock_guard<std::mutex> lock(m_mutex);
        cookie->Set(m_cookie.data(), static_cast<unsigned int>(m_cookie.size()));
        events.Event(std::string("CanBecomePrimary -> ") + (mayLead ? "1" : "0"));
        return mayLead;
    }

    bool AcceptMessageFromReplica(RSLib::RSLNode*, void* data, unsigned int len) {
        const unsigned char* bytes = static_cast<const unsigned char*>(data);
        std::lock_guard<std::mutex> lock(m_mutex);
        if (bytes == NULL) {
            m_acceptCookie.clear();
        } else {
            m_acceptCookie.assign(bytes, bytes + len);
        }
        return accept;
    }

    void ShutDown(RSLib::RSLResponseCode status) {
        events.Event(std::string("ShutDown ") + CodeName(status));
        printf("ShutDown callback %s\n", CodeName(status));
        fflush(stdout);
    }

private:
    static void Sleep(uint64_t milliseconds) {
        if (milliseconds > 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        }
    }

    // The reader gives less than it is asked for at the end of a block.
    static bool ReadAll(RSLib::RSLCheckpointStreamReader* reader, void* into, size_t length) {
        char* at = static_cast<char*>(into);
        while (length > 0) {
            unsigned long got = 0;
            if (reader->GetData(at, static_cast<unsigned long>(length), &got) != NO_ERROR || got == 0) {
                return false;
            }
            at += got;
            length -= got;
        }
        return true;
    }

    static std::string CookieText(void* cookie) { return Hex64(reinterpret_cast<uintptr_t>(cookie)); }
    std::string Seq() { return std::to_string(GetCurrentSequenceNumber()); }

    std::shared_ptr<Batch> Find(void* cookie) {
        std::lock_guard<std::mutex> lock(m_waiters);
        const std::map<uint64_t, std::shared_ptr<Batch>>::const_iterator found = m_batches.find(reinterpret_cast<uintptr_t>(cookie) >> 32);
        return found == m_batches.end() ? std::shared_ptr<Batch>() : found->second;
    }

    void EndRead(void* cookie, Read read) {
        read.done = true;
        std::lock_guard<std::mutex> lock(m_waiters);
        const std::map<uint64_t, Read>::iterator found = m_reads.find(reinterpret_cast<uintptr_t>(cookie) >> 32);
        // Who waited may have given up.
        if (found != m_reads.end()) {
            found->second = read;
            m_readEnded.notify_all();
        }
    }

    std::mutex m_waiters;
    std::condition_variable m_readEnded;
    uint64_t m_next;
    std::map<uint64_t, std::shared_ptr<Batch>> m_batches;
    std::map<uint64_t, Read> m_reads;

    std::mutex m_mutex;
    std::condition_variable m_advanced;
    State m_state;
    uint64_t m_index;
    std::string m_lines;
    Bytes m_cookie, m_acceptCookie;
    bool m_primary, m_recovered;
    std::string m_lastSaved, m_lastCopied;
};

} // namespace host

#endif
