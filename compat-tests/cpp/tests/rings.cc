// Ten rings in one process, each with a directory, ports and state of its own.
#include "service.h"

#include <memory>

using namespace RSLib;

int main(int argc, char** argv) {
    const size_t rings = 10;
    CHECK(argc == static_cast<int>(rings) + 2 && RSLInit(NULL));
    std::vector<std::unique_ptr<Service>> services;
    for (size_t i = 0; i < rings; i++) {
        services.emplace_back(new Service);
        RSLConfigParam config = TestConfig(std::string(argv[1]) + "/" + std::to_string(i));
        const RSLNode self = TestNode(("m" + std::to_string(i)).c_str(), atoi(argv[i + 2]));
        RSLNodeCollection nodes;
        nodes.Append(self);
        CHECK(services[i]->Initialize(&config, nodes, self, RSLProtocolVersion_5, false, SpawnThread));
    }
    for (size_t i = 0; i < rings; i++) {
        Service& service = *services[i];
        CHECK(Eventually([&] { return service.recovered.load(); }));
        for (size_t n = 0; n <= i; n++) {
            char request[] = {1};
            CHECK(service.ReplicateRequest(request, 1, reinterpret_cast<void*>(i)) == RSLSuccess);
        }
    }
    for (size_t i = 0; i < rings; i++) {
        CHECK(Eventually([&] { return services[i]->executed == i + 1; }));
        CHECK(services[i]->sum == i + 1 && services[i]->cookies == i * (i + 1));
    }
    services[0]->UnloadThisOne();
    CHECK(services[0]->shutDowns == 1 && services[1]->shutDowns == 0);
    RSLStateMachine::Unload();
    for (size_t i = 0; i < rings; i++) {
        CHECK(services[i]->shutDowns == 1 && services[i]->aborts == 0);
    }
    puts("done");
    return 0;
}
