// A set that is bootstrapped and then changed. Start `reconfigure 1`, `2`, `3` and `4` in four terminals. Type `bootstrap` into
// 1: it forms a set with 2 and 3. On the primary type `replace 3 4`: 4 takes the place of 3. `show` tells who is in the set.

#include <iostream>
#include <sstream>
#include <string>

#include "rsl.h"

using namespace RSLib;

class Service : public RSLStateMachine {
protected:
    bool LoadState(RSLCheckpointStreamReader*) { return true; }
    void SaveState(RSLCheckpointStreamWriter*) {}
    void ExecuteReplicatedRequest(void*, size_t, void*, bool*) {}
    void ExecuteFastReadRequest(void*, size_t, void*) {}
    void AbortRequest(RSLResponseCode, void*) {}
    void NotifyStatus(bool isPrimary) { std::cout << "primary: " << isPrimary << std::endl; }
    void NotifyConfigurationChanged(void*) { std::cout << "the set has changed\n" << std::flush; }
    void AbortChangeConfiguration(RSLResponseCode, void*) { std::cout << "not known whether the set will change" << std::endl; }
    void ShutDown(RSLResponseCode) {}
};

static RSLNode Member(int number) {
    RSLNode node;
    node.SetMemberIdAsUInt64(static_cast<unsigned long long>(number));
    const unsigned char loopback[4] = {127, 0, 0, 1};
    memcpy(&node.m_ip, loopback, 4);
    node.m_rslPort = static_cast<unsigned short>(23200 + 10 * number);
    return node;
}

// Every configuration change is a new set, made from the one that is in force.
static RSLResponseCode Replace(Service& service, int out, int in) {
    RSLMemberSet now;
    service.GetConfiguration(&now);
    RSLNodeCollection members;
    now.GetMemberCollection(members);
    for (size_t i = 0; i < members.Count(); i++) {
        if (members[i].GetMemberIdAsUInt64() == static_cast<unsigned long long>(out)) {
            members[i] = Member(in);
        }
    }
    RSLMemberSet next(members, NULL, 0);
    return service.ChangeConfiguration(&next, NULL);
}

static void Show(Service& service) {
    RSLMemberSet set;
    unsigned int number = 0;
    service.GetConfiguration(&set, &number);
    std::cout << "configuration " << number << ":";
    for (unsigned short i = 0; i < set.GetNumMembers(); i++) {
        std::cout << " " << set.GetMemberInfo(i)->m_memberIdString;
    }
    std::cout << std::endl;
}

int main(int argc, char** argv) {
    const int own = argc > 1 ? atoi(argv[1]) : 0;
    if (own < 1 || own > 9 || !RSLInit("reconfigure-logs")) {
        std::cerr << "which replica: 1 to 9?" << std::endl;
        return 2;
    }
    RSLConfigParam config;
    snprintf(config.m_workingDir, sizeof config.m_workingDir, "reconfigure-data");
    Service& service = *new Service; // as long as the process
    if (!service.Initialize(&config, Member(own), RSLProtocolVersion_6, false)) {
        return 1;
    }
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command;
        int out = 0, in = 0;
        words >> command >> out >> in;
        if (command == "bootstrap") {
            RSLNodeCollection members;
            for (int number = 1; number <= 3; number++) {
                members.Append(Member(number));
            }
            RSLMemberSet set(members, NULL, 0);
            const int code = service.Bootstrap(&set, 30);
            std::cout << "bootstrap: " + std::to_string(code) + "\n" << std::flush;
        } else if (command == "replace") {
            const int code = Replace(service, out, in);
            std::cout << "replace: " + std::to_string(code) + "\n" << std::flush;
        } else {
            Show(service);
        }
    }
    service.UnloadThisOne(); // ends the process with code 0
}
